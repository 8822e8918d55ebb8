// SPDX-License-Identifier: GPL-2.0

//! Golden bytes: every message of the protocol at the offsets of the specification
//! (rnbd 2.3 to 2.8), built here and parsed back.

use rnbd_proto::limits::*;
use rnbd_proto::*;

/// The bytes of a line of hexadecimal numbers.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// The bytes of a line, and zeroes up to `len`.
fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = hex(text);
    bytes.resize(len, 0);
    bytes
}

fn name(text: &str) -> DeviceName {
    DeviceName::new(text.as_bytes()).unwrap()
}

#[test]
fn sizes_and_versions() {
    assert_eq!((SESS_INFO_LEN, OPEN_LEN, OPEN_RSP_LEN), (36, 264, 56));
    assert_eq!((CLOSE_LEN, IO_LEN, IO_MIN_LEN), (8, 32, 24));
    assert_eq!((VERSION_MAJOR, VERSION_MINOR), (2, 2));
    assert_eq!(DEFAULT_PORT, 1234);
    assert_eq!([0, 1, 2, 3, 255].map(negotiate), [0, 1, 2, 2, 2]);
}

#[test]
fn sess_info() {
    let bytes = padded("00 00 00 00 02", 36);
    let message = SessInfo { ver: 2 };
    assert_eq!(message.to_bytes()[..], bytes);
    assert_eq!(
        Message::parse(&bytes, Data::ToClient(36), false),
        Ok(Message::SessInfo(message))
    );
}

#[test]
fn sess_info_rsp() {
    let bytes = padded("01 00 00 00 02", 36);
    let answer = SessInfoRsp { ver: 2 };
    assert_eq!(answer.to_bytes()[..], bytes);
    assert_eq!(SessInfoRsp::parse(&bytes), Ok(answer));
}

#[test]
fn open() {
    let mut bytes = padded("02 00 00 00 01 00 2f 64 65 76 2f 72 61 6d 30", 264);
    let message = Open {
        mode: AccessMode::Rw,
        name: name("/dev/ram0"),
        wish: None,
    };
    assert_eq!(message.to_bytes()[..], bytes);
    let parsed = Message::Open(message.clone());
    assert_eq!(
        Message::parse(&bytes, Data::ToClient(56), false),
        Ok(parsed.clone())
    );
    // An existing client sends garbage in everything that is not a field.
    bytes[2..4].fill(0xaa);
    bytes[5] = 0xaa;
    bytes[6 + 10..].fill(0xaa);
    assert_eq!(
        Message::parse(&bytes, Data::ToClient(56), false),
        Ok(parsed)
    );

    for (mode, value) in [
        (AccessMode::Ro, 0),
        (AccessMode::Rw, 1),
        (AccessMode::Migration, 2),
    ] {
        let message = Open {
            mode,
            name: name("x"),
            wish: None,
        };
        assert_eq!(message.to_bytes()[4], value);
        assert_eq!(
            AccessMode::from_keyword(mode.as_str().as_bytes()),
            Some(mode)
        );
        assert_eq!(mode.is_writable(), value != 0);
    }
}

#[test]
fn open_rsp() {
    let bytes = hex(
        "03 00 00 00  07 00 00 00  00 00 20 00 00 00 00 00  f8 00 00 00
                     ff ff 00 00  ff ff ff ff  00 10 00 00  00 02 00 00  00 10  00 02
                     80 00  01 00  00  03  00 00 00 00 00 00 00 00 00 00",
    );
    assert_eq!(bytes.len(), 56);
    let answer = OpenRsp {
        device_id: 7,
        nsectors: 0x0020_0000,
        max_hw_sectors: 248,
        max_write_zeroes_sectors: 0xffff,
        max_discard_sectors: 0xffff_ffff,
        discard_granularity: 4096,
        discard_alignment: 512,
        physical_block_size: BlockSize::new(4096).unwrap(),
        logical_block_size: BlockSize::new(512).unwrap(),
        max_segments: 128,
        secure_discard: true,
        fua: true,
        write_back: true,
    };
    assert_eq!(answer.to_bytes()[..], bytes);
    assert_eq!(OpenRsp::parse(&bytes), Ok(answer));
    // Garbage in the header, the rotational byte and behind the fields.
    let mut garbage = bytes.clone();
    garbage[2..4].fill(0xaa);
    garbage[44] = 1;
    garbage[46..].fill(0xaa);
    assert_eq!(OpenRsp::parse(&garbage), Ok(answer));
    // Only the two lowest bits of the cache policy mean something.
    garbage[45] = 0xfc;
    let answer = OpenRsp {
        fua: false,
        write_back: false,
        ..answer
    };
    assert_eq!(OpenRsp::parse(&garbage), Ok(answer));
}

#[test]
fn close() {
    let bytes = hex("05 00 00 00 04 03 02 01");
    let message = Close {
        device_id: 0x0102_0304,
    };
    assert_eq!(message.to_bytes()[..], bytes);
    assert_eq!(
        Message::parse(&bytes, Data::FromClient(0), false),
        Ok(Message::Close(message))
    );
}

/// One row of the table of what an existing client sends.
fn row(word: u32, size: u32, prio: u16, sector: u64) -> Vec<u8> {
    let mut bytes = hex("04 00 aa aa 07 00 00 00");
    bytes.extend(sector.to_le_bytes());
    bytes.extend(word.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(prio.to_le_bytes());
    bytes.extend([0xaa; 6]);
    assert_eq!(bytes.len(), 32);
    bytes
}

fn io(bytes: &[u8], data: Data) -> Io {
    match Message::parse(bytes, data, false) {
        Ok(Message::Io(io)) => io,
        other => panic!("{other:?}"),
    }
}

#[test]
fn io_of_existing_clients() {
    let sync = Flags {
        sync: true,
        ..Flags::default()
    };
    let expected = Io {
        device_id: 7,
        sector: 0x0102_0304_0506,
        op: Op::Read,
        flags: sync,
        size: 4096,
        prio: Some(0x4004),
    };
    let sector = expected.sector;
    assert_eq!(
        io(&row(0x100, 4096, 0x4004, sector), Data::ToClient(4096)),
        expected
    );
    assert_eq!(
        io(&row(0x101, 4096, 0x4004, sector), Data::FromClient(4096)),
        Io {
            op: Op::Write,
            ..expected
        }
    );
    assert_eq!(
        io(&row(0x301, 4096, 0x4004, sector), Data::FromClient(4096)),
        Io {
            op: Op::Write,
            flags: Flags { fua: true, ..sync },
            ..expected
        }
    );
    assert_eq!(
        io(&row(0x103, 65536, 0x4004, sector), Data::FromClient(0)),
        Io {
            op: Op::Discard,
            size: 65536,
            ..expected
        }
    );
    // Real time is not for remote clients: it becomes the best of best effort.
    assert_eq!(
        io(&row(0x101, 4096, 0x2003, sector), Data::FromClient(4096)).prio,
        Some(0x4000)
    );
}

#[test]
fn flush_of_existing_clients() {
    // S13: the sector is all ones and means nothing.
    for word in [0x702, 0x302, 0x202, 0x002] {
        let flush = io(&row(word, 0, 0, u64::MAX), Data::ToClient(0));
        assert_eq!((flush.op, flush.sector, flush.size), (Op::Flush, 0, 0));
        assert_eq!(flush.end(), 0);
    }
}

#[test]
fn io_as_we_send_it() {
    let message = Io {
        device_id: 7,
        sector: 0x1234,
        op: Op::Read,
        flags: Flags::for_request(Op::Read, false, false, false, false),
        size: 4096,
        prio: Some(0x4004),
    };
    assert_eq!(
        message.to_bytes()[..],
        hex(
            "04 00 00 00 07 00 00 00 34 12 00 00 00 00 00 00 00 01 00 00 00 10 00 00 04 40
             00 00 00 00 00 00"
        )
    );
    let flush = Io {
        sector: u64::MAX,
        op: Op::Flush,
        flags: Flags::for_request(Op::Flush, false, false, true, false),
        size: 0,
        prio: None,
        ..message
    };
    assert_eq!(
        flush.to_bytes()[..],
        padded("04 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00 02 07", 32)
    );
}

#[test]
fn operations_on_the_wire() {
    let table = [
        (Op::Read, 0, false, true, true),
        (Op::Write, 1, true, true, false),
        (Op::Flush, 2, false, false, true),
        (Op::Discard, 3, true, false, false),
        (Op::SecureErase, 4, true, false, false),
        (Op::WriteZeroes, 5, true, false, false),
    ];
    for (op, number, modifies, has_data, read) in table {
        assert_eq!(op as u8, number);
        assert_eq!(Op::from_wire(number), Some(op));
        assert_eq!(op.modifies(), modifies);
        assert_eq!(op.has_data(), has_data);
        assert_eq!(op.is_transport_read(), read);
    }
    assert_eq!((6..=255).find_map(Op::from_wire), None);
}

#[test]
fn flags_for_a_request() {
    let word = |op, sync, fua, preflush, nounmap| {
        let io = Io {
            device_id: 0,
            sector: 0,
            op,
            flags: Flags::for_request(op, sync, fua, preflush, nounmap),
            size: 512,
            prio: None,
        };
        u32::from_le_bytes(io.to_bytes()[16..20].try_into().unwrap())
    };
    assert_eq!(word(Op::Read, false, false, false, false), 0x100);
    assert_eq!(word(Op::Write, false, false, false, false), 0x001);
    assert_eq!(word(Op::Write, true, false, false, false), 0x101);
    assert_eq!(word(Op::Write, false, true, false, false), 0x301);
    assert_eq!(word(Op::Flush, false, false, true, false), 0x702);
    assert_eq!(word(Op::Discard, true, false, false, true), 0x103);
    assert_eq!(word(Op::WriteZeroes, false, false, false, true), 0x805);
    assert_eq!(word(Op::WriteZeroes, true, false, false, false), 0x105);
}

#[test]
fn latency_classes() {
    use rnbd_proto::stats::*;
    let table = [
        (0, 0),
        (999, 0),
        (1_000, 1),
        (1_999, 1),
        (2_000, 2),
        (3_999, 2),
        (4_000, 3),
        (1_000_000, 10),
        (1_024_000, 11),
        (4_194_303_999, 22),
        (4_194_304_000, 23),
        (u64::MAX, 23),
    ];
    for (ns, class) in table {
        assert_eq!(latency_class(ns), class, "{ns} ns");
    }
    for (at, op) in OPS.iter().enumerate() {
        assert_eq!(*op as usize, at);
    }
    let names = OPS.map(Op::as_str).join(" ");
    assert_eq!(names, "read write flush discard secure_erase write_zeroes");
}
