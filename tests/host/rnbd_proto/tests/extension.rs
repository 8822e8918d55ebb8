// SPDX-License-Identifier: GPL-2.0

//! The extensions of OPEN and of its answer: golden bytes, garbage, random input.

use proptest::collection::vec;
use proptest::prelude::*;
use rnbd_proto::limits::*;
use rnbd_proto::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn rsp(logical: u32, physical: u32) -> OpenRsp {
    OpenRsp {
        device_id: 7,
        nsectors: 0x0020_0000,
        max_hw_sectors: 248,
        max_write_zeroes_sectors: 0xffff,
        max_discard_sectors: 0xffff_ffff,
        discard_granularity: 4096,
        discard_alignment: 512,
        physical_block_size: BlockSize::new(physical).unwrap(),
        logical_block_size: BlockSize::new(logical).unwrap(),
        max_segments: 128,
        secure_discard: true,
        fua: true,
        write_back: true,
    }
}

fn ext() -> OpenExt {
    OpenExt {
        rotational: true,
        stable_writes: false,
        read_only: true,
        io_mode: Some(IoMode::File),
        physical_block_size: 65536,
        logical_block_size: 512,
        io_min: 65536,
        io_opt: 0x0010_0000,
        max_secure_erase_sectors: 0x0001_0000,
        secure_erase_granularity: 4096,
        max_hw_sectors: 1280,
        dma_alignment: 3,
        chunk_sectors: 256,
        generation: 0x0102_0304_0506_0708,
        identity: Identity::new(b"naa.5000c500a1b2c3d4").unwrap(),
    }
}

#[test]
fn sizes() {
    assert_eq!((OPEN_RSP_EXT_LEN, IDENTITY_MAX, EXT_VERSION), (256, 127, 1));
    assert_eq!(MAX_NOTICE_ID, 0x0fff_ffff);
}

#[test]
fn open_with_a_wish() {
    for (io_mode, byte) in [(None, 0), (Some(IoMode::Block), 1), (Some(IoMode::File), 2)] {
        let message = Open {
            mode: AccessMode::Rw,
            name: DeviceName::new(b"/dev/ram0").unwrap(),
            wish: Some(OpenWish { io_mode }),
        };
        let mut bytes = hex("02 00 00 00 01 00 2f 64 65 76 2f 72 61 6d 30");
        bytes.resize(264, 0);
        bytes[5] = byte;
        bytes[261] = 1;
        assert_eq!(message.to_bytes()[..], bytes);
        // What stands behind the name and in the reserved bytes is not looked at.
        bytes[2..4].fill(0xaa);
        bytes[6 + 10..261].fill(0xaa);
        bytes[262..].fill(0xaa);
        assert_eq!(
            Message::parse(&bytes, Data::ToClient(256), true),
            Ok(Message::Open(message.clone()))
        );
        // A later version adds to this one.
        bytes[261] = 9;
        assert_eq!(
            Message::parse(&bytes, Data::ToClient(256), true),
            Ok(Message::Open(message))
        );
    }
}

#[test]
fn open_without_agreement_is_garbage_there() {
    let message = Open {
        mode: AccessMode::Ro,
        name: DeviceName::new(b"x").unwrap(),
        wish: None,
    };
    let mut bytes = message.to_bytes();
    assert_eq!((bytes[5], bytes[261]), (0, 0));
    for byte in 0..=255 {
        bytes[5] = byte;
        bytes[261..].fill(byte);
        assert_eq!(
            Message::parse(&bytes, Data::ToClient(56), false),
            Ok(Message::Open(message.clone()))
        );
    }
    // With the agreement, version 0 still says that there is no wish.
    bytes[5] = 0xaa;
    bytes[261] = 0;
    assert_eq!(
        Message::parse(&bytes, Data::ToClient(56), true),
        Ok(Message::Open(message))
    );
}

#[test]
fn unknown_io_modes() {
    let mut bytes = Open {
        mode: AccessMode::Ro,
        name: DeviceName::new(b"x").unwrap(),
        wish: Some(OpenWish::default()),
    }
    .to_bytes();
    for byte in 3..=255 {
        bytes[5] = byte;
        let refused = Message::parse(&bytes, Data::ToClient(256), true).unwrap_err();
        assert_eq!(refused, ProtoError::IoMode(byte));
        assert_eq!(refused.errno(), -22);
    }
    for mode in [IoMode::Block, IoMode::File] {
        assert_eq!(IoMode::from_keyword(mode.as_str().as_bytes()), Some(mode));
        assert_eq!(mode.to_string(), mode.as_str());
    }
    assert_eq!(IoMode::from_keyword(b"autoio"), None);
}

#[test]
fn answer() {
    let rsp = rsp(512, 4096);
    let mut bytes = rsp.to_bytes().to_vec();
    bytes.extend(hex(
        "01 05 02 00  00 00 01 00  00 02 00 00  00 00 01 00  00 00 10 00
        00 00 01 00  00 10 00 00  00 05 00 00  03 00 00 00  00 01 00 00
        08 07 06 05 04 03 02 01  14",
    ));
    assert_eq!(bytes.len(), 105);
    bytes.extend(b"naa.5000c500a1b2c3d4");
    bytes.resize(256, 0);
    let ext = ext();
    assert_eq!(ext.to_bytes(&rsp)[..], bytes);
    // The first 56 bytes are the answer as ever.
    assert_eq!(OpenRsp::parse(&bytes), Ok(rsp));
    assert_eq!(OpenExt::parse(&bytes, &rsp), Ok(Some(ext)));
    // Reserved bytes, unknown flags and later versions do not matter.
    bytes[56] = 2;
    bytes[57] |= 0xf8;
    bytes[59] = 0xaa;
    bytes[232..].fill(0xaa);
    assert_eq!(OpenExt::parse(&bytes, &rsp), Ok(Some(ext)));
}

#[test]
fn answer_says_how_io_is_done() {
    let rsp = rsp(512, 4096);
    let mut bytes = ext().to_bytes(&rsp);
    let modes = [None, Some(IoMode::Block), Some(IoMode::File), None, None];
    for (byte, io_mode) in [0, 1, 2, 3, 255].into_iter().zip(modes) {
        bytes[58] = byte;
        let expected = OpenExt { io_mode, ..ext() };
        assert_eq!(OpenExt::parse(&bytes, &rsp), Ok(Some(expected)));
        if byte < 3 {
            assert_eq!(expected.to_bytes(&rsp), bytes);
        }
    }
}

#[test]
fn no_extension() {
    let rsp = rsp(512, 4096);
    let bytes = ext().to_bytes(&rsp);
    for len in 0..256 {
        assert_eq!(OpenExt::parse(&bytes[..len], &rsp), Ok(None));
    }
    let mut zeroes = rsp.to_bytes().to_vec();
    zeroes.resize(256, 0);
    assert_eq!(OpenExt::parse(&zeroes, &rsp), Ok(None));
}

#[test]
fn bad_hints_are_dropped() {
    let rsp = rsp(4096, 4096);
    let sent = OpenExt {
        physical_block_size: 6000,
        logical_block_size: 4096,
        io_min: 0,
        io_opt: 5000,
        max_secure_erase_sectors: 8,
        secure_erase_granularity: 512,
        dma_alignment: 5,
        chunk_sectors: 7,
        ..ext()
    };
    let mut bytes = sent.to_bytes(&rsp);
    bytes[104] = 128;
    let parsed = OpenExt::parse(&bytes, &rsp).unwrap().unwrap();
    let expected = OpenExt {
        physical_block_size: 4096,
        io_min: 4096,
        io_opt: 0,
        max_secure_erase_sectors: 0,
        secure_erase_granularity: 0,
        dma_alignment: 511,
        chunk_sectors: 0,
        identity: Identity::NONE,
        ..sent
    };
    assert_eq!(parsed, expected);
    // An identity that could break a file's line.
    bytes[104] = 3;
    for bad in [0, b'\n', b' ', b'/', 0x1b, 0x7f, 0x80, 0xff] {
        bytes[105..108].copy_from_slice(&[b'a', bad, b'b']);
        let parsed = OpenExt::parse(&bytes, &rsp).unwrap().unwrap();
        assert!(parsed.identity.is_none());
    }
    // The block size is no hint.
    bytes[64..68].copy_from_slice(&512u32.to_le_bytes());
    let refused = OpenExt::parse(&bytes, &rsp).unwrap_err();
    assert_eq!(refused, ResponseError::Extension);
    assert_eq!(refused.errno(), -22);
}

#[test]
fn identities() {
    assert_eq!(Identity::new(b""), Some(Identity::NONE));
    assert_eq!(Identity::new(&[b'x'; 127]).unwrap().as_bytes().len(), 127);
    assert_eq!(Identity::new(&[b'x'; 128]), None);
    assert_eq!(Identity::new(b"a b"), None);
    // It becomes a part of a file's name.
    assert_eq!(Identity::new(b"../../a"), None);
    assert_eq!(Identity::from_backend(b"../a").as_bytes(), b".._a");
    let made = Identity::from_backend(b"  QEMU HARDDISK \x01serial\0 \n");
    assert_eq!(made.to_string(), "QEMU_HARDDISK__serial_");
    assert_eq!(Identity::from_backend(&[b'y'; 300]).as_bytes().len(), 127);
    assert!(Identity::from_backend(b" \t\n").is_none());
}

#[test]
fn long_names_differ_at_their_ends() {
    // The longest name that NVMe makes of a namespace without an id has 140 characters.
    let namespace = |nsid: u32| {
        let name = format!(
            "nvme.1af4-{}-{}-{nsid:08x}",
            "4c".repeat(20),
            "51".repeat(40)
        );
        assert_eq!(name.len(), 140);
        Identity::from_backend(name.as_bytes())
    };
    assert_eq!(namespace(1), namespace(1));
    assert_ne!(namespace(1), namespace(2));
    // Their beginning is as it was, and what fits is not touched.
    let text = [b'y'; 300];
    let long = Identity::from_backend(&text);
    assert!(long.as_bytes().starts_with(&text[..110]));
    assert_eq!(&long.as_bytes()[110..], b".4d4dee6c7913d461");
    assert_eq!(
        Identity::from_backend(&text[..127]).as_bytes(),
        &text[..127]
    );
    assert_ne!(Identity::from_backend(&text[..128]), long);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    })]

    #[test]
    fn open_never_panics(mut usr in vec(any::<u8>(), 0..300), len: u32, extended: bool) {
        if usr.len() > 1 {
            usr[..2].copy_from_slice(&[2, 0]);
        }
        if let Ok(Message::Open(open)) = Message::parse(&usr, Data::ToClient(len), extended) {
            prop_assert!(extended || open.wish.is_none());
            prop_assert_eq!(
                Message::parse(&open.to_bytes(), Data::ToClient(len), extended),
                Ok(Message::Open(open))
            );
        }
    }

    #[test]
    fn answer_never_panics(mut bytes in vec(any::<u8>(), 200..300), good: bool) {
        let rsp = rsp(4096, 4096);
        bytes[56] = 1;
        if good {
            bytes[64..68].copy_from_slice(&4096u32.to_le_bytes());
        }
        if let Ok(Some(ext)) = OpenExt::parse(&bytes, &rsp) {
            prop_assert!(ext.physical_block_size.is_power_of_two());
            prop_assert!(ext.physical_block_size >= 4096);
            prop_assert!(ext.io_min > 0 && ext.io_min % ext.physical_block_size == 0);
            prop_assert_eq!(ext.io_opt % ext.physical_block_size, 0);
            prop_assert!(ext.dma_alignment <= 4095);
            prop_assert_eq!(ext.chunk_sectors % 8, 0);
            prop_assert!(ext.identity.as_bytes().iter().all(u8::is_ascii_graphic));
            // What was put right once stays as it is.
            prop_assert_eq!(OpenExt::parse(&ext.to_bytes(&rsp), &rsp), Ok(Some(ext)));
        }
    }

    #[test]
    fn backend_text_is_an_identity(text in vec(any::<u8>(), 0..200)) {
        let identity = Identity::from_backend(&text);
        prop_assert_eq!(Identity::new(identity.as_bytes()), Some(identity));
    }
}
