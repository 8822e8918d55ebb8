// SPDX-License-Identifier: GPL-2.0

//! What a hostile or broken peer can send, and what becomes of it. The names in the
//! comments are the weak points of rnbd 8.

use rnbd_proto::*;

const EINVAL: i32 = -22;

fn errno(usr: &[u8], data: Data) -> i32 {
    match Message::parse(usr, data, false) {
        Ok(_) => 0,
        Err(error) => error.errno(),
    }
}

fn good(op: Op, size: u32) -> Io {
    Io {
        device_id: 0,
        sector: 8,
        op,
        flags: Flags::default(),
        size,
        prio: Some(0),
    }
}

/// The message with another operation and flags than could be built.
fn raw(word: u32, size: u32) -> [u8; 32] {
    let mut bytes = good(Op::Read, size).to_bytes();
    bytes[16..20].copy_from_slice(&word.to_le_bytes());
    bytes
}

#[test]
fn short_messages() {
    // S5.
    let sess_info = SessInfo { ver: 2 }.to_bytes();
    let open = Open {
        mode: AccessMode::Ro,
        name: DeviceName::new(b"x").unwrap(),
        wish: None,
    }
    .to_bytes();
    let close = Close { device_id: 1 }.to_bytes();
    let io = good(Op::Read, 512).to_bytes();
    let table: [(&[u8], usize, Data); 4] = [
        (&sess_info, 36, Data::ToClient(36)),
        (&open, 264, Data::ToClient(56)),
        (&close, 8, Data::FromClient(0)),
        (&io, 24, Data::ToClient(512)),
    ];
    for (bytes, least, data) in table {
        for len in 0..least {
            assert_eq!(
                Message::parse(&bytes[..len], data, false),
                Err(ProtoError::Short)
            );
        }
        assert!(Message::parse(&bytes[..least], data, false).is_ok());
        let long = [bytes, &[0xaa; 100]].concat();
        assert!(Message::parse(&long, data, false).is_ok());
    }
}

#[test]
fn io_of_every_length_that_exists() {
    let bytes = Io {
        prio: Some(0x4004),
        ..good(Op::Read, 512)
    }
    .to_bytes();
    let prio = |len: usize| match Message::parse(&bytes[..len], Data::ToClient(512), false) {
        Ok(Message::Io(io)) => io.prio,
        other => panic!("{other:?}"),
    };
    assert_eq!(prio(24), None);
    assert_eq!(prio(25), None);
    assert_eq!(prio(26), Some(0x4004));
    assert_eq!(prio(28), Some(0x4004));
    assert_eq!(prio(32), Some(0x4004));
}

#[test]
fn unknown_types() {
    for kind in (0u16..=0xffff).filter(|kind| ![0, 2, 4, 5].contains(kind)) {
        let mut bytes = [0; 264];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        assert_eq!(
            Message::parse(&bytes, Data::ToClient(4096), false),
            Err(ProtoError::Type(kind))
        );
    }
    assert_eq!(ProtoError::Type(1).errno(), EINVAL);
}

#[test]
fn no_room_for_the_answer() {
    let sess_info = SessInfo { ver: 2 }.to_bytes();
    assert_eq!(errno(&sess_info, Data::ToClient(35)), EINVAL);
    assert_eq!(errno(&sess_info, Data::FromClient(36)), EINVAL);
    assert_eq!(errno(&sess_info, Data::ToClient(131_072)), 0);
    let open = Open {
        mode: AccessMode::Ro,
        name: DeviceName::new(b"x").unwrap(),
        wish: None,
    }
    .to_bytes();
    assert_eq!(errno(&open, Data::ToClient(55)), EINVAL);
    assert_eq!(errno(&open, Data::FromClient(56)), EINVAL);
}

#[test]
fn device_names() {
    // S6.
    let parse = |field: &[u8], mode: u8| {
        let mut bytes = [0; 264];
        bytes[0] = 2;
        bytes[4] = mode;
        bytes[6..][..field.len()].copy_from_slice(field);
        Message::parse(&bytes, Data::ToClient(56), false)
    };
    let refused = |error| Err(ProtoError::Name(error));
    assert_eq!(parse(b"", 0), refused(DeviceNameError::Empty));
    assert_eq!(parse(&[b'a'; 255], 0), refused(DeviceNameError::TooLong));
    assert_eq!(parse(&[b'a'; 258], 0), refused(DeviceNameError::TooLong));
    assert!(parse(&[b'a'; 254], 0).is_ok());
    assert_eq!(parse(b"x", 3), Err(ProtoError::AccessMode(3)));
    assert_eq!(ProtoError::AccessMode(3).errno(), EINVAL);
    // S16: nothing forges a line of the log.
    let name = DeviceName::new(b"a\nb\x1b\xff").unwrap();
    assert_eq!(name.to_string(), "a\\nb\\x1b\\xff");
    assert_eq!(DeviceName::new(b"a\0b"), Err(DeviceNameError::Zero));
}

#[test]
fn data_must_match_the_operation() {
    // S4 and rnbd 4.4: a read or write has its data, nothing else has any.
    for size in [512u32, 4096] {
        let read = good(Op::Read, size).to_bytes();
        let write = good(Op::Write, size).to_bytes();
        assert_eq!(errno(&read, Data::ToClient(size)), 0);
        assert_eq!(errno(&write, Data::FromClient(size)), 0);
        for other in [0, 1, size - 1, size + 1, size * 2] {
            assert_eq!(errno(&read, Data::ToClient(other)), EINVAL);
            assert_eq!(errno(&write, Data::FromClient(other)), EINVAL);
        }
        // Nor does it go the other way.
        assert_eq!(errno(&read, Data::FromClient(size)), EINVAL);
        assert_eq!(errno(&write, Data::ToClient(size)), EINVAL);
    }
    for op in [Op::Read, Op::Write] {
        for data in [Data::ToClient(0), Data::FromClient(0)] {
            assert_eq!(errno(&good(op, 0).to_bytes(), data), EINVAL);
        }
        // Parts of a sector.
        for size in [1, 511, 513, 4095] {
            let bytes = good(op, size).to_bytes();
            assert_eq!(errno(&bytes, Data::ToClient(size)), EINVAL);
            assert_eq!(errno(&bytes, Data::FromClient(size)), EINVAL);
        }
    }
    for op in [Op::Discard, Op::SecureErase, Op::WriteZeroes] {
        let bytes = good(op, 65536).to_bytes();
        assert_eq!(errno(&bytes, Data::FromClient(0)), 0);
        assert_eq!(errno(&bytes, Data::FromClient(512)), EINVAL);
        assert_eq!(errno(&bytes, Data::FromClient(65536)), EINVAL);
        assert_eq!(errno(&good(op, 0).to_bytes(), Data::FromClient(0)), EINVAL);
        let large = good(op, 0u32.wrapping_sub(512)).to_bytes();
        assert_eq!(errno(&large, Data::FromClient(0)), 0);
    }
    assert_eq!(errno(&good(Op::Flush, 0).to_bytes(), Data::ToClient(0)), 0);
    assert_eq!(
        errno(&good(Op::Flush, 0).to_bytes(), Data::FromClient(0)),
        0
    );
    assert_eq!(
        errno(&good(Op::Flush, 512).to_bytes(), Data::ToClient(0)),
        EINVAL
    );
    assert_eq!(
        errno(&good(Op::Flush, 0).to_bytes(), Data::ToClient(512)),
        EINVAL
    );
}

#[test]
fn unknown_operations_are_not_reads() {
    // S12.
    for op in 6..=255 {
        let bytes = raw(op, 512);
        assert_eq!(
            Message::parse(&bytes, Data::ToClient(512), false),
            Err(ProtoError::Op(op as u8))
        );
        assert_eq!(errno(&bytes, Data::ToClient(512)), -95);
    }
}

#[test]
fn flags_that_mean_nothing() {
    // The upper bits are ignored, and so is NOUNMAP with another operation.
    assert_eq!(errno(&raw(0xffff_f900, 512), Data::ToClient(512)), 0);
    assert_eq!(errno(&raw(0xffff_ff01, 512), Data::FromClient(512)), 0);
    // S12: the block layer complains about these.
    for op in [0u32, 3, 4, 5] {
        for flag in [0x200, 0x400, 0x600] {
            let data = match op {
                0 => Data::ToClient(512),
                _ => Data::FromClient(0),
            };
            assert_eq!(
                Message::parse(&raw(flag | op, 512), data, false),
                Err(ProtoError::Flags)
            );
        }
    }
    assert_eq!(ProtoError::Flags.errno(), EINVAL);
}

#[test]
fn ranges_beyond_any_device() {
    let bytes = |sector, size| {
        Io {
            sector,
            ..good(Op::Read, size)
        }
        .to_bytes()
    };
    const LAST: u64 = limits::MAX_SECTORS;
    assert_eq!(errno(&bytes(LAST - 1, 512), Data::ToClient(512)), 0);
    for sector in [LAST, LAST + 1, 1 << 56, u64::MAX] {
        assert_eq!(errno(&bytes(sector, 512), Data::ToClient(512)), -5);
    }
    assert_eq!(errno(&bytes(LAST - 1, 1024), Data::ToClient(1024)), -5);
}

#[test]
fn priorities_are_clamped() {
    // S19.
    let prio = |value: u16| {
        let io = Io {
            prio: Some(value),
            ..good(Op::Read, 512)
        };
        match Message::parse(&io.to_bytes(), Data::ToClient(512), false) {
            Ok(Message::Io(io)) => io.prio.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(prio(0), 0);
    assert_eq!(prio(0x4004), 0x4004);
    assert_eq!(prio(0x6000), 0x6000);
    assert_eq!(prio(0x2000), 0x4000);
    assert_eq!(prio(0x3fff), 0x4000);
    assert_eq!(prio(0x8000), 0);
    for value in 0..=u16::MAX {
        assert!([0, 2, 3].contains(&(prio(value) >> 13)));
    }
}

fn answer() -> OpenRsp {
    OpenRsp {
        device_id: 3,
        nsectors: 2048,
        max_hw_sectors: 256,
        max_write_zeroes_sectors: 128,
        max_discard_sectors: 128,
        discard_granularity: 4096,
        discard_alignment: 0,
        physical_block_size: BlockSize::new(4096).unwrap(),
        logical_block_size: BlockSize::new(512).unwrap(),
        max_segments: 128,
        secure_discard: false,
        fua: false,
        write_back: true,
    }
}

fn patched(at: usize, bytes: &[u8]) -> Result<OpenRsp, ResponseError> {
    let mut message = answer().to_bytes();
    message[at..][..bytes.len()].copy_from_slice(bytes);
    OpenRsp::parse(&message)
}

#[test]
fn open_rsp_is_not_believed() {
    // C5.
    let bytes = answer().to_bytes();
    for len in 0..56 {
        assert_eq!(OpenRsp::parse(&bytes[..len]), Err(ResponseError::Short));
    }
    assert_eq!(OpenRsp::parse(&[0; 56]), Err(ResponseError::Type(0)));
    assert_eq!(patched(0, &[1]), Err(ResponseError::Type(1)));
    assert_eq!(
        patched(8, &u64::MAX.to_le_bytes()),
        Err(ResponseError::Size(u64::MAX))
    );
    assert!(patched(8, &limits::MAX_SECTORS.to_le_bytes()).is_ok());
    for size in [0u16, 1, 256, 511, 513, 1000, 65535] {
        assert_eq!(
            patched(38, &size.to_le_bytes()),
            Err(ResponseError::LogicalBlockSize(size))
        );
    }
    for size in [512u16, 1024, 4096, 32768] {
        assert!(patched(38, &size.to_le_bytes()).is_ok());
    }
    assert_eq!(
        patched(36, &5000u16.to_le_bytes()),
        Err(ResponseError::PhysicalBlockSize(5000))
    );
    assert_eq!(ResponseError::Short.errno(), EINVAL);
}

#[test]
fn open_rsp_hints_are_put_right() {
    // A physical block below the logical one is raised.
    for size in [0u16, 1, 511, 512] {
        let parsed = patched(36, &size.to_le_bytes()).unwrap();
        assert_eq!(parsed.physical_block_size.get(), 512);
    }
    // A unit of discards that is none switches them off.
    let parsed = patched(28, &100u32.to_le_bytes()).unwrap();
    assert_eq!(parsed.max_discard_sectors, 0);
    assert_eq!(parsed.discard_granularity, 0);
    // No unit is no contradiction.
    let parsed = patched(28, &0u32.to_le_bytes()).unwrap();
    assert_eq!(parsed.max_discard_sectors, 128);
    // An alignment beyond the unit is unknown.
    let parsed = patched(32, &u32::MAX.to_le_bytes()).unwrap();
    assert_eq!(parsed.discard_alignment, 0);
    assert_eq!(parsed.max_discard_sectors, 128);
    assert!(patched(42, &[0, 2]).unwrap().secure_discard);
}

#[test]
fn block_sizes_that_can_travel() {
    assert_eq!(BlockSize::new(65536), None);
    assert_eq!(BlockSize::new(0), None);
    assert_eq!(BlockSize::new(256), None);
    assert_eq!(BlockSize::new(768), None);
    assert_eq!(BlockSize::new(32768).unwrap().get(), 32768);
}

#[test]
fn sess_info_rsp_is_not_believed() {
    let bytes = SessInfoRsp { ver: 2 }.to_bytes();
    for len in 0..36 {
        assert_eq!(SessInfoRsp::parse(&bytes[..len]), Err(ResponseError::Short));
    }
    assert_eq!(SessInfoRsp::parse(&[0; 36]), Err(ResponseError::Type(0)));
    let mut bytes = bytes;
    bytes[4] = 77;
    assert_eq!(SessInfoRsp::parse(&bytes), Ok(SessInfoRsp { ver: 2 }));
    bytes[4] = 1;
    bytes[5..].fill(0xaa);
    assert_eq!(SessInfoRsp::parse(&bytes), Ok(SessInfoRsp { ver: 1 }));
}
