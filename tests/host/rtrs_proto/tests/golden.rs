// SPDX-License-Identifier: GPL-2.0

//! Golden bytes: every message and immediate of the protocol, as the specification
//! spells it (rtrs 2.7 and appendix B), built here and parsed back.

use rtrs_proto::limits::*;
use rtrs_proto::*;

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

fn uuid(first: u8) -> Uuid {
    Uuid(core::array::from_fn(|at| first + at as u8))
}

fn defaults() -> SessionParams {
    SessionParams::for_server(512, 131_072, 4096).unwrap()
}

#[test]
fn connect_request() {
    let bytes = hex(
        "00 00 bd 1b 00 02 00 00 09 00 01 00  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f
         a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af  01 00 00 00 00 00 00 00 00 00 00 00",
    );
    let request = ConnectRequest::new(0, 9, 1, uuid(0x10), uuid(0xa0), true).unwrap();
    assert_eq!(request.to_bytes()[..], bytes);
    assert_eq!(ConnectRequest::parse(&bytes), Ok(request));
    assert_eq!(request.cid(), 0);
    assert_eq!(request.cid_num(), 9);
    assert_eq!(request.recon_cnt(), 1);
    assert_eq!(request.path(), uuid(0x10));
    assert_eq!(request.session(), uuid(0xa0));
    assert!(request.first_conn());
    assert_eq!(
        uuid(0x10).to_string(),
        "10111213-1415-1617-1819-1a1b1c1d1e1f"
    );
}

#[test]
fn connect_request_of_another_connection() {
    let request = ConnectRequest::new(0x123, 0x1000, 0x4567, uuid(0), uuid(1), false).unwrap();
    let bytes = request.to_bytes();
    assert_eq!(bytes[..12], hex("00 00 bd 1b 00 02 23 01 00 10 67 45")[..]);
    assert_eq!(bytes[44..], [0; 12]);
    // AF_IB and the connection manager pad; nobody may care.
    let mut long = bytes.to_vec();
    long.resize(92, 0);
    assert_eq!(ConnectRequest::parse(&long), Ok(request));
}

#[test]
fn connect_request_with_extensions() {
    let bytes = hex(
        "00 00 bd 1b 00 02 00 00 09 00 01 00  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f
         a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af  01 01 07 00 00 00 00 00 00 00 00 00",
    );
    let plain = ConnectRequest::new(0, 9, 1, uuid(0x10), uuid(0xa0), true).unwrap();
    let request = plain.offer(Features::ALL);
    assert_eq!(request.to_bytes()[..], bytes);
    assert_eq!(ConnectRequest::parse(&bytes), Ok(request));
    assert_eq!(request.features(), Features::ALL);
    // Whoever offers nothing says nothing, as the C implementation does.
    assert_eq!(request.offer(Features::NONE).to_bytes(), plain.to_bytes());
    assert_eq!(plain.features(), Features::NONE);
}

#[test]
fn connect_reply_with_extensions() {
    let bytes = padded(
        "bd 1b 00 02 00 00 00 02 00 f0 01 00 00 10 00 00 02 00 00 00  01 00 03 00",
        56,
    );
    let features = Features::FENCE.or(Features::NOTICE);
    let reply = ConnectReply::Accept {
        params: defaults(),
        new_rkey: true,
        features,
    };
    assert_eq!(reply.to_bytes()[..], bytes);
    assert_eq!(ConnectReply::parse(&bytes), Ok(reply));
    assert_eq!(reply.features(), features);
    assert!(features.has(Features::FENCE) && !features.has(Features::USER));
    assert_eq!(features.and(Features::NOTICE), Features::NOTICE);
    assert_eq!(features.to_string(), "fence notice");
    assert_eq!(Features::USER.to_string(), "user");
    assert_eq!(Features::NONE.to_string(), "none");
}

#[test]
fn fence_message() {
    let bytes = hex("10 00 00 00 00 00 00 00 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f");
    let fence = FenceRequest { path: uuid(0x10) };
    assert_eq!(fence.to_bytes()[..], bytes);
    assert_eq!(FenceRequest::parse(&bytes, 4096, 131_072), Ok(fence));
    // The immediate is an ordinary one: chunk 5, at its beginning.
    let params = defaults();
    let immediate = params.io_immediate(params.chunk(5).unwrap(), 0).unwrap();
    assert_eq!(immediate.encode(), 0x0028_0000);
}

#[test]
fn connect_reply_accept() {
    let bytes = padded(
        "bd 1b 00 02 00 00 00 02 00 f0 01 00 00 10 00 00 02 00 00 00",
        56,
    );
    let reply = ConnectReply::Accept {
        params: defaults(),
        new_rkey: true,
        features: Features::NONE,
    };
    assert_eq!(reply.to_bytes()[..], bytes);
    assert_eq!(ConnectReply::parse(&bytes), Ok(reply));

    let plain = padded("bd 1b 00 02 00 00 00 02 00 f0 01 00 00 10 00 00", 196);
    let reply = ConnectReply::Accept {
        params: defaults(),
        new_rkey: false,
        features: Features::NONE,
    };
    assert_eq!(reply.to_bytes()[..], plain[..56]);
    assert_eq!(ConnectReply::parse(&plain), Ok(reply));
}

#[test]
fn connect_reply_reject() {
    let bytes = padded("bd 1b 00 02 98 ff", 56);
    let reply = ConnectReply::Reject(RejectErrno::new(-errno::ECONNRESET));
    assert_eq!(reply.to_bytes()[..], bytes);
    assert_eq!(ConnectReply::parse(&bytes), Ok(reply));
    assert_eq!(RejectErrno::from_private_data(&bytes).get(), -104);
}

#[test]
fn info_request() {
    let name = SessionName::new(b"name").unwrap();
    let bytes = padded("00 00 6e 61 6d 65", 272);
    let request = InfoRequest { name };
    assert_eq!(request.to_bytes()[..], bytes);
    assert_eq!(InfoRequest::parse(&bytes), Ok(request));
}

#[test]
fn info_response_of_always_invalidate() {
    let params = defaults();
    let mut bytes = InfoResponse::header(512).to_vec();
    assert_eq!(bytes, hex("01 00 00 02 00 00 00 00"));
    for chunk in params.chunks() {
        let at = u64::from(chunk.get());
        let desc = Descriptor {
            addr: 0x1000_0000 + at * 131_072,
            key: 0x100 + u32::from(chunk.get()),
            len: 131_072,
        };
        bytes.extend(desc.to_bytes());
    }
    assert_eq!(bytes.len(), 8200);
    assert_eq!(bytes.len(), InfoResponse::len(512));
    assert_eq!(
        bytes[24..40],
        hex("00 00 02 10 00 00 00 00 01 01 00 00 00 00 02 00")
    );
    let chunks: Vec<Chunk> = InfoResponse::parse(&bytes, &params)
        .unwrap()
        .chunks()
        .collect();
    assert_eq!(chunks.len(), 512);
    assert_eq!(chunks[511].index.get(), 511);
    assert_eq!(chunks[511].addr, 0x1000_0000 + 511 * 131_072);
    assert_eq!(chunks[511].key, 0x100 + 511);
}

#[test]
fn info_response_of_one_region() {
    let params = defaults();
    let bytes = hex("01 00 01 00 00 00 00 00  00 00 00 40 00 00 00 00 42 cd ab 00 00 00 00 04");
    assert_eq!(bytes.len(), 24);
    let chunks: Vec<Chunk> = InfoResponse::parse(&bytes, &params)
        .unwrap()
        .chunks()
        .collect();
    assert_eq!(chunks.len(), 512);
    assert_eq!(chunks[5].addr, 0x4000_0000 + 5 * 131_072);
    assert!(chunks.iter().all(|chunk| chunk.key == 0x00ab_cd42));
}

#[test]
fn info_response_of_unequal_regions() {
    let params = SessionParams::for_server(6, 8192, 4096).unwrap();
    let mut bytes = InfoResponse::header(2).to_vec();
    for (addr, key, chunks) in [(0x1_0000u64, 7, 4), (0x9_0000, 8, 2)] {
        let len = chunks * 8192;
        bytes.extend(Descriptor { addr, key, len }.to_bytes());
    }
    let chunks: Vec<(u64, u32)> = InfoResponse::parse(&bytes, &params)
        .unwrap()
        .chunks()
        .map(|chunk| (chunk.addr, chunk.key))
        .collect();
    assert_eq!(
        chunks,
        [
            (0x1_0000, 7),
            (0x1_2000, 7),
            (0x1_4000, 7),
            (0x1_6000, 7),
            (0x9_0000, 8),
            (0x9_2000, 8)
        ]
    );
}

#[test]
fn write_message() {
    assert_eq!(WriteMsg { usr_len: 32 }.to_bytes()[..], hex("02 00 20 00"));
    let request = RequestMsg::parse(&hex("02 00 20 00"), 4096 + 32, 131_072).unwrap();
    assert_eq!(request.direction(), Direction::Write);
    assert_eq!(request.usr_len(), 32);
    assert_eq!(request.data_len(), 4096);
    assert_eq!(request.desc(), None);
    assert!(!request.need_inval());
}

#[test]
fn read_message() {
    let bytes = hex("03 00 20 00 01 00 01 00 00 50 34 12 00 00 00 00 42 cd ab 00 00 10 00 00");
    let desc = Descriptor {
        addr: 0x1234_5000,
        key: 0x00ab_cd42,
        len: 4096,
    };
    let message = ReadMsg {
        usr_len: 32,
        need_inval: true,
        desc: Some(desc),
    };
    assert_eq!(message.wire_len(), 24);
    assert_eq!(message.to_bytes()[..], bytes);
    let request = RequestMsg::parse(&bytes, 4096 + 32, 131_072).unwrap();
    assert_eq!(request.direction(), Direction::Read);
    assert_eq!(request.usr_len(), 32);
    assert_eq!(request.data_len(), 4096);
    assert_eq!(request.desc(), Some(desc));
    assert!(request.need_inval());
}

#[test]
fn read_message_without_a_buffer() {
    let message = ReadMsg {
        usr_len: 32,
        need_inval: true,
        desc: None,
    };
    assert_eq!(message.wire_len(), 8);
    assert_eq!(message.to_bytes()[..8], hex("03 00 20 00 00 00 00 00"));
    let request = RequestMsg::parse(&message.to_bytes()[..8], 32, 131_072).unwrap();
    assert_eq!(request.desc(), None);
    assert_eq!(request.data_len(), 0);
    assert!(!request.need_inval());
}

#[test]
fn rkey_message() {
    let params = defaults();
    let message = RkeyMsg {
        buf_id: params.chunk(5).unwrap(),
        rkey: 0x00ab_cd43,
    };
    let bytes = hex("04 00 05 00 43 cd ab 00");
    assert_eq!(message.to_bytes()[..], bytes);
    assert_eq!(RkeyMsg::parse(&bytes, &params), Ok(message));
}

#[test]
fn immediates() {
    let params = defaults();
    let chunk = |index| params.chunk(index).unwrap();
    let table = [
        (
            params.io_immediate(chunk(5), 4096 + 32).unwrap(),
            0x0028_1020,
        ),
        (
            params.io_immediate(chunk(0), 4096 + 32).unwrap(),
            0x0000_1020,
        ),
        (
            Immediate::response(chunk(5), Errno9::OK, false),
            0x1000_0005,
        ),
        (
            Immediate::response(chunk(0), Errno9::OK, false),
            0x1000_0000,
        ),
        (
            Immediate::response(chunk(5), Errno9::new(-errno::EIO), false),
            0x1028_0005,
        ),
        (Immediate::response(chunk(5), Errno9::OK, true), 0x2000_0005),
        (Immediate::response(chunk(0), Errno9::OK, true), 0x2000_0000),
        (
            Immediate::response(chunk(511), Errno9::new(-107), false),
            0x1358_01ff,
        ),
        (Immediate::Notice(0), 0x3000_0000),
        (Immediate::Notice(0x0123_4567), 0x3123_4567),
        (Immediate::Notice(NOTICE_MAX), 0x3fff_ffff),
        (Immediate::HeartbeatMsg, 0x8000_0000),
        (Immediate::HeartbeatAck, 0x9000_0000),
    ];
    for (immediate, value) in table {
        assert_eq!(immediate.encode(), value, "{immediate:?}");
        assert_eq!(Immediate::decode(value), immediate, "{value:#010x}");
    }
}

#[test]
fn request_immediate_is_opened() {
    let params = defaults();
    let Immediate::IoRequest(payload) = Immediate::decode(0x0028_1020) else {
        panic!("not a request");
    };
    let (chunk, off) = params.io_request(payload).unwrap();
    assert_eq!((chunk.get(), off), (5, 4096 + 32));
}

#[test]
fn widths_of_the_immediate() {
    // The table of rtrs 2.6, as far as such sessions can exist.
    let table = [
        (1, 1 << 28, 0, 28),
        (2, 1 << 27, 1, 27),
        (512, 1 << 19, 9, 19),
        (513, 1 << 18, 10, 18),
        (32768, 8192, 15, 13),
    ];
    for (depth, largest, chunk_bits, off_bits) in table {
        let params = SessionParams::for_server(depth, largest, 4096).unwrap();
        assert_eq!(params.chunk_bits(), chunk_bits, "depth {depth}");
        assert_eq!(params.off_bits(), off_bits, "depth {depth}");
        assert_eq!(params.chunk_size(), largest);
        assert_eq!(
            SessionParams::for_server(depth, largest * 2, 4096),
            Err(ParamsError::Immediate),
            "depth {depth}"
        );
    }
    assert_eq!(
        SessionParams::for_server(65535, 8192, 4096),
        Err(ParamsError::Immediate)
    );
}

#[test]
fn constants() {
    assert_eq!(VERSION, 0x0200);
    assert_eq!(CONNECT_MSG_LEN, 56);
    assert_eq!(REQUEST_MSG_MAX, 24);
    assert_eq!(FENCE_MSG_LEN, REQUEST_MSG_MAX);
    assert_eq!(SERVICE_QUEUE_WRS, 1026);
    assert_eq!(DEFAULT_SESS_QUEUE_DEPTH, 512);
    assert_eq!(DEFAULT_MAX_CHUNK_SIZE, 131_072);
    assert_eq!(defaults().max_io(), 126_976);
    assert_eq!(defaults().max_hdr(), 4096);
    assert_eq!(defaults().pool_size(), 64 << 20);
}
