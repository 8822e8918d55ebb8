// SPDX-License-Identifier: GPL-2.0

//! What a hostile or broken peer can send, and what becomes of it. The names in the
//! comments are the rows of rtrs 3.4 and the weak points of rtrs 10.

use rtrs_proto::*;

fn defaults() -> SessionParams {
    SessionParams::for_server(512, 131_072, 4096).unwrap()
}

fn request(cid: u16, cid_num: u16) -> Result<ConnectRequest, ConnectError> {
    ConnectRequest::new(cid, cid_num, 1, Uuid([1; 16]), Uuid([2; 16]), true)
}

#[test]
fn connect_request_row_by_row() {
    let good = request(0, 9).unwrap().to_bytes();
    let with = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        ConnectRequest::parse(&bytes)
    };
    // Row 1.
    for len in 0..56 {
        assert_eq!(
            ConnectRequest::parse(&good[..len]),
            Err(ConnectError::Short)
        );
    }
    // Row 2.
    assert_eq!(with(2, 0), Err(ConnectError::Magic));
    assert_eq!(with(3, 0), Err(ConnectError::Magic));
    // Row 3: the major number only.
    assert_eq!(with(5, 1), Err(ConnectError::Version(1)));
    assert_eq!(with(5, 3), Err(ConnectError::Version(3)));
    assert!(with(4, 0xff).is_ok());
    // Row 4.
    assert_eq!(request(0, 4097), Err(ConnectError::ConnectionCount(4097)));
    assert_eq!(with(9, 0x11), Err(ConnectError::ConnectionCount(0x1109)));
    assert!(request(4095, 4096).is_ok());
    // Row 5, which covers no connections at all.
    assert_eq!(with(6, 9), Err(ConnectError::ConnectionId(9)));
    assert_eq!(with(8, 0), Err(ConnectError::ConnectionId(0)));
    assert!(with(6, 8).is_ok());
    // All of them are rejected alike.
    assert_eq!(ConnectError::Short.errno(), -104);
    // Reserved bits and bytes are ignored.
    assert_eq!(with(44, 0xff), request(0, 9));
    assert_eq!(with(55, 0xff), request(0, 9));
    assert_eq!(with(0, 0xff), request(0, 9));
}

#[test]
fn reply_with_impossible_parameters() {
    let reply = |depth: u16, max_io: u32, max_hdr: u32| {
        let accept = ConnectReply::Accept {
            params: defaults(),
            new_rkey: false,
            features: Features::NONE,
        };
        let mut bytes = accept.to_bytes();
        bytes[6..8].copy_from_slice(&depth.to_le_bytes());
        bytes[8..12].copy_from_slice(&max_io.to_le_bytes());
        bytes[12..16].copy_from_slice(&max_hdr.to_le_bytes());
        ConnectReply::parse(&bytes)
    };
    let refused = |error| Err(ReplyError::Params(error));
    // C9.
    assert_eq!(reply(0, 126_976, 4096), refused(ParamsError::Depth));
    // C5.
    assert_eq!(reply(512, 126_976, 0), refused(ParamsError::HeaderSize));
    assert_eq!(reply(512, 126_976, 63), refused(ParamsError::HeaderSize));
    assert_eq!(reply(512, 126_976, 65537), refused(ParamsError::HeaderSize));
    assert_eq!(
        reply(512, 126_976, u32::MAX),
        refused(ParamsError::HeaderSize)
    );
    assert!(reply(512, 126_976, 64).is_ok());
    assert!(reply(512, 126_976, 65536).is_ok());
    // C6: the sum wraps, or is too small; nothing demands a power of two.
    assert_eq!(reply(512, u32::MAX, 4096), refused(ParamsError::ChunkSize));
    assert_eq!(
        reply(512, 0u32.wrapping_sub(4096), 4096),
        refused(ParamsError::ChunkSize)
    );
    assert_eq!(reply(512, 0, 65536), refused(ParamsError::ChunkSize));
    assert_eq!(reply(512, 4095, 4096), refused(ParamsError::ChunkSize));
    assert!(reply(512, 4096, 4096).is_ok());
    assert!(reply(512, 100_000, 4096).is_ok());
    // C7: depth times chunk against the 28 bits.
    assert_eq!(reply(1024, 520_192, 4096), refused(ParamsError::Immediate));
    assert_eq!(reply(65535, 4096, 4096), refused(ParamsError::Immediate));
    assert_eq!(
        reply(512, 520_192 + 1, 4096),
        refused(ParamsError::Immediate)
    );
    assert!(reply(512, 520_192, 4096).is_ok());
    assert_eq!(ReplyError::Short.errno(), -104);
}

#[test]
fn reply_of_another_protocol() {
    let good = ConnectReply::Reject(RejectErrno::RESET).to_bytes();
    for len in 0..56 {
        assert_eq!(ConnectReply::parse(&good[..len]), Err(ReplyError::Short));
    }
    let mut bytes = good;
    bytes[0] ^= 1;
    assert_eq!(ConnectReply::parse(&bytes), Err(ReplyError::Magic));
    let mut bytes = good;
    bytes[3] = 1;
    assert_eq!(ConnectReply::parse(&bytes), Err(ReplyError::Version(1)));
}

#[test]
fn reject_errno_is_always_negative() {
    // C11: whatever the number, the result is an error.
    let errno = |value: i16| {
        let mut bytes = ConnectReply::Reject(RejectErrno::RESET).to_bytes();
        bytes[4..6].copy_from_slice(&value.to_le_bytes());
        RejectErrno::from_private_data(&bytes).get()
    };
    assert_eq!(errno(0), -104);
    assert_eq!(errno(1), -1);
    assert_eq!(errno(-17), -17);
    assert_eq!(errno(-6), -6);
    assert_eq!(errno(-4095), -4095);
    assert_eq!(errno(-4096), -104);
    assert_eq!(errno(i16::MIN), -104);
    assert_eq!(errno(i16::MAX), -104);
    for value in i16::MIN..=i16::MAX {
        assert!((-4095..0).contains(&errno(value)));
    }
    assert_eq!(RejectErrno::from_private_data(b"").get(), -104);
    assert_eq!(RejectErrno::from_private_data(&[0; 148]).get(), -104);
    assert_eq!(RejectErrno::new(i32::MIN).get(), -104);
}

#[test]
fn info_request_names() {
    let parse = |field: &[u8]| {
        let mut bytes = [0; 272];
        bytes[2..][..field.len()].copy_from_slice(field);
        InfoRequest::parse(&bytes).map(|request| request.name.as_bytes().to_vec())
    };
    let refused = |error| Err(InfoError::Name(error));
    // S2.
    assert_eq!(parse(b""), refused(NameError::Empty));
    assert_eq!(parse(b"\0x"), refused(NameError::Empty));
    // S10.
    assert_eq!(parse(&[b'a'; 255]), refused(NameError::TooLong));
    assert_eq!(parse(&[b'a'; 270]), refused(NameError::TooLong));
    assert_eq!(parse(&[b'a'; 254]), Ok(vec![b'a'; 254]));
    // S11.
    for byte in [b'/', b'.', b'\n', b'\t', b' ', 0x1b, 0x7f, 1] {
        assert_eq!(parse(&[b'a', byte]), refused(NameError::Forbidden(byte)));
    }
    // What is behind the terminator is ignored.
    assert_eq!(parse(b"a\0/\n"), Ok(b"a".to_vec()));
    assert_eq!(parse(b"sess-1_x@y:z!"), Ok(b"sess-1_x@y:z!".to_vec()));
    assert_eq!(parse("größe".as_bytes()), Ok("größe".as_bytes().to_vec()));
    // Length and type.
    assert_eq!(InfoRequest::parse(&[0; 271]), Err(InfoError::Short));
    let mut bytes = [0; 272];
    bytes[0] = 1;
    assert_eq!(InfoRequest::parse(&bytes), Err(InfoError::Type(1)));
}

#[test]
fn names_in_the_log_are_escaped() {
    let name = SessionName::new(b"a\xff\xc3\xbc").unwrap();
    assert_eq!(name.to_string(), "a\\xff\\xc3\\xbc");
    assert_eq!(name.as_str(), None);
    assert_eq!(SessionName::new(b"x").unwrap().as_str(), Some("x"));
    assert_eq!(SessionName::new(&[b'x'; 255]), Err(NameError::TooLong));
}

#[test]
fn info_response_rules() {
    let params = SessionParams::for_server(4, 8192, 4096).unwrap();
    let parse = |count: u16, lens: &[u32]| {
        let mut bytes = InfoResponse::header(count).to_vec();
        for len in lens {
            let desc = Descriptor {
                addr: 0x1000,
                key: 1,
                len: *len,
            };
            bytes.extend(desc.to_bytes());
        }
        InfoResponse::parse(&bytes, &params).map(|response| response.chunks().count())
    };
    assert_eq!(parse(1, &[32768]), Ok(4));
    assert_eq!(parse(2, &[8192, 24576]), Ok(4));
    assert_eq!(parse(4, &[8192; 4]), Ok(4));
    // More bytes than the message has are ignored.
    assert_eq!(parse(4, &[8192; 9]), Ok(4));
    // Fewer are not.
    assert_eq!(parse(4, &[8192; 3]), Err(InfoError::Short));
    assert_eq!(parse(u16::MAX, &[8192; 3]), Err(InfoError::Count(u16::MAX)));
    // The number of descriptors.
    assert_eq!(parse(0, &[]), Err(InfoError::Count(0)));
    assert_eq!(parse(3, &[8192, 8192, 16384]), Err(InfoError::Count(3)));
    assert_eq!(parse(8, &[8192; 8]), Err(InfoError::Count(8)));
    // Their lengths.
    assert_eq!(parse(1, &[0]), Err(InfoError::Descriptor));
    assert_eq!(parse(1, &[8191]), Err(InfoError::Descriptor));
    assert_eq!(parse(1, &[8193]), Err(InfoError::Descriptor));
    // Their sum.
    assert_eq!(parse(1, &[24576]), Err(InfoError::Total));
    assert_eq!(parse(1, &[40960]), Err(InfoError::Total));
    assert_eq!(parse(2, &[0xffff_e000, 32768]), Err(InfoError::Total));
    // The type.
    assert!(matches!(
        InfoResponse::parse(&[0; 24], &params),
        Err(InfoError::Type(0))
    ));
    assert!(matches!(
        InfoResponse::parse(&[1, 0, 1, 0, 0, 0, 0], &params),
        Err(InfoError::Short)
    ));
}

#[test]
fn info_response_stays_in_the_address_space() {
    let params = SessionParams::for_server(1, 8192, 4096).unwrap();
    let parse = |addr: u64| {
        let desc = Descriptor {
            addr,
            key: 1,
            len: 8192,
        };
        let mut bytes = InfoResponse::header(1).to_vec();
        bytes.extend(desc.to_bytes());
        InfoResponse::parse(&bytes, &params).map(|_| ())
    };
    assert_eq!(parse(u64::MAX), Err(InfoError::Descriptor));
    assert_eq!(parse(u64::MAX - 8191), Err(InfoError::Descriptor));
    assert_eq!(parse(u64::MAX - 8192), Ok(()));
}

fn read(usr_len: u16, need_inval: bool, len: u32) -> [u8; 24] {
    ReadMsg {
        usr_len,
        need_inval,
        desc: Some(Descriptor {
            addr: 0x1000,
            key: 7,
            len,
        }),
    }
    .to_bytes()
}

#[test]
fn request_must_fit_into_its_chunk() {
    // S4: by the size of the type, not only by its offset.
    const CHUNK: u32 = 8192;
    let write = WriteMsg { usr_len: 8 }.to_bytes();
    let parse = |tail: &[u8], off| RequestMsg::parse(tail, off, CHUNK);
    assert!(parse(&write, CHUNK - 4).is_ok());
    assert_eq!(parse(&write, CHUNK - 3), Err(RequestError::Bounds));
    assert_eq!(parse(&write[..3], 100), Err(RequestError::Bounds));
    let read = read(8, true, 512);
    assert!(parse(&read, CHUNK - 24).is_ok());
    for left in 0..24 {
        assert_eq!(parse(&read, CHUNK - left), Err(RequestError::Bounds));
        assert_eq!(
            parse(&read[..left as usize], 1024),
            Err(RequestError::Bounds)
        );
    }
    let flush = ReadMsg {
        usr_len: 8,
        need_inval: false,
        desc: None,
    };
    assert!(parse(&flush.to_bytes(), CHUNK - 8).is_ok());
    assert_eq!(
        parse(&flush.to_bytes(), CHUNK - 7),
        Err(RequestError::Bounds)
    );
    assert_eq!(parse(&write, u32::MAX), Err(RequestError::Bounds));
}

#[test]
fn extensions_of_a_stranger() {
    let mut bytes = request(0, 9).unwrap().to_bytes();
    // Bits without a version mean nothing: whoever wrote them did not mean us.
    bytes[46..48].copy_from_slice(&[0xff; 2]);
    let features = |bytes: &[u8]| ConnectRequest::parse(bytes).unwrap().features();
    assert_eq!(features(&bytes), Features::NONE);
    // A later version: what is known is kept, the rest is not for us.
    for version in 1..=255 {
        bytes[45] = version;
        assert_eq!(features(&bytes), Features::ALL);
    }
    bytes[46..48].copy_from_slice(&[0xf8, 0xff]);
    assert_eq!(features(&bytes), Features::NONE);
    // A reject agrees upon nothing, whatever stands behind it.
    let mut bytes = ConnectReply::Reject(RejectErrno::RESET).to_bytes();
    bytes[20..].fill(0xff);
    assert_eq!(
        ConnectReply::parse(&bytes).unwrap().features(),
        Features::NONE
    );
}

#[test]
fn fence_that_is_none() {
    const CHUNK: u32 = 8192;
    let good = FenceRequest {
        path: Uuid([7; 16]),
    };
    let bytes = good.to_bytes();
    let parse = |tail: &[u8], off| ChunkMsg::parse(tail, off, CHUNK, Features::FENCE);
    assert_eq!(parse(&bytes, 0), Ok(ChunkMsg::Fence(good)));
    assert_eq!(parse(&bytes, CHUNK - 24), Ok(ChunkMsg::Fence(good)));
    // It has to fit.
    for left in 0..24 {
        assert_eq!(parse(&bytes, CHUNK - left), Err(RequestError::Bounds));
        assert_eq!(parse(&bytes[..left as usize], 0), Err(RequestError::Bounds));
    }
    // It has no user header; what is reserved is ignored.
    let mut other = bytes;
    other[2] = 1;
    assert_eq!(parse(&other, 0), Err(RequestError::UserLength));
    let mut other = bytes;
    other[4..8].fill(0xff);
    assert_eq!(parse(&other, 0), Ok(ChunkMsg::Fence(good)));
    // Nobody who did not agree upon it gets one.
    for features in [Features::NONE, Features::NOTICE.or(Features::USER)] {
        assert_eq!(
            ChunkMsg::parse(&bytes, 0, CHUNK, features),
            Err(RequestError::Type(16))
        );
    }
    // And the ordinary requests are what they were.
    let write = WriteMsg { usr_len: 8 }.to_bytes();
    assert_eq!(
        parse(&write, 8),
        RequestMsg::parse(&write, 8, CHUNK).map(ChunkMsg::Request)
    );
    assert_eq!(
        FenceRequest::parse(&write, 8, CHUNK),
        Err(RequestError::Type(2))
    );
}

#[test]
fn request_types_and_lengths() {
    let parse = |tail: &[u8], off| RequestMsg::parse(tail, off, 131_072);
    for kind in [0u16, 1, 4, 5, 0xffff] {
        let mut bytes = [0; 24];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        assert_eq!(parse(&bytes, 32), Err(RequestError::Type(kind)));
    }
    // S18: the user header is longer than everything in front of the message.
    let write = |usr_len| WriteMsg { usr_len }.to_bytes();
    assert_eq!(parse(&write(33), 32), Err(RequestError::UserLength));
    assert_eq!(parse(&write(u16::MAX), 0), Err(RequestError::UserLength));
    assert_eq!(
        parse(&write(32), 32).map(|request| request.data_len()),
        Ok(0)
    );
    // S5: a read asks for no more than its data; and for something.
    assert!(parse(&read(32, true, 4096), 4096 + 32).is_ok());
    assert!(parse(&read(32, true, 1), 4096 + 32).is_ok());
    for len in [0, 4097, 131_072, u32::MAX] {
        assert_eq!(
            parse(&read(32, true, len), 4096 + 32),
            Err(RequestError::AnswerLength)
        );
    }
    // More than one buffer.
    let mut many = read(32, true, 4096);
    many[6] = 2;
    assert_eq!(parse(&many, 4096 + 32), Err(RequestError::Segments(2)));
    // S23: a key to invalidate, but no buffer: ignored.
    let mut none = read(32, true, 4096);
    none[6] = 0;
    let request = parse(&none, 4096 + 32).unwrap();
    assert!(!request.need_inval());
    assert_eq!(request.desc(), None);
}

#[test]
fn rkey_message_is_bounded() {
    // C9.
    let params = defaults();
    let good = RkeyMsg {
        buf_id: params.chunk(511).unwrap(),
        rkey: 1,
    }
    .to_bytes();
    for len in 0..8 {
        assert_eq!(RkeyMsg::parse(&good[..len], &params), Err(RkeyError::Short));
    }
    let mut bytes = good;
    bytes[0] = 3;
    assert_eq!(RkeyMsg::parse(&bytes, &params), Err(RkeyError::Type(3)));
    let mut bytes = good;
    bytes[2..4].copy_from_slice(&512u16.to_le_bytes());
    assert_eq!(RkeyMsg::parse(&bytes, &params), Err(RkeyError::Chunk(512)));
}

#[test]
fn request_immediate_is_bounded() {
    let params = SessionParams::new(Depth::new(5).unwrap(), 8000, 1000).unwrap();
    let open = |value| match Immediate::decode(value) {
        Immediate::IoRequest(payload) => params.io_request(payload).ok(),
        _ => None,
    };
    assert_eq!(params.off_bits(), 25);
    assert!(open(4 << 25 | 8999).is_some());
    assert_eq!(open(4 << 25 | 9000), None);
    assert_eq!(open(5 << 25), None);
    assert_eq!(open(7 << 25), None);
    // A chunk of a deeper session does not pass as one of this.
    let alien = defaults().chunk(5).unwrap();
    assert_eq!(params.io_immediate(alien, 0), Err(OutOfBounds));
    let own = params.chunk(4).unwrap();
    assert_eq!(params.io_immediate(own, 9000), Err(OutOfBounds));
    assert_eq!(params.chunk(5), None);
    assert_eq!(params.chunk(0x1_0000), None);
}

#[test]
fn one_chunk_needs_no_bits() {
    let params = SessionParams::for_server(1, 1 << 28, 4096).unwrap();
    let Immediate::IoRequest(payload) = Immediate::decode(0x0fff_ffff) else {
        panic!("not a request");
    };
    let (chunk, off) = params.io_request(payload).unwrap();
    assert_eq!((chunk.get(), off), (0, (1 << 28) - 1));
}

#[test]
fn errno_of_a_response_is_never_lost() {
    // S25: 512 must not become success, nor 524 become 12.
    for errno in -4095..=4095 {
        let wire = Errno9::new(errno);
        match errno.abs() {
            size @ 0..=511 => assert_eq!(wire.errno(), -size),
            _ => assert_eq!(wire.errno(), -5),
        }
        assert_eq!(wire.is_ok(), errno == 0);
    }
    assert_eq!(Errno9::new(i32::MIN).errno(), -5);
    assert_eq!(Errno9::new(i32::MAX).errno(), -5);
}

#[test]
fn server_parameters() {
    let check = SessionParams::for_server;
    assert_eq!(check(0, 131_072, 4096), Err(ParamsError::Depth));
    assert_eq!(check(65536, 131_072, 4096), Err(ParamsError::Depth));
    assert_eq!(check(512, 4096, 4096), Err(ParamsError::ChunkSize));
    assert_eq!(check(512, 131_073, 4096), Err(ParamsError::ChunkSize));
    assert_eq!(check(512, 98_304, 4096), Err(ParamsError::ChunkSize));
    assert_eq!(check(512, 0, 4096), Err(ParamsError::ChunkSize));
    // S31: pages of 64 KiB leave no room in small chunks.
    assert_eq!(check(512, 65536, 65536), Err(ParamsError::ChunkSize));
    assert!(check(512, 131_072, 65536).is_ok());
    assert_eq!(check(1024, 524_288, 4096), Err(ParamsError::Immediate));
    assert!(check(1, 8192, 4096).is_ok());
    assert!(check(32768, 8192, 4096).is_ok());
}

#[test]
fn header_beside_the_chunk() {
    let wide = |depth, chunk, page, limit| {
        let params = SessionParams::for_server(depth, chunk, page).unwrap();
        let wide = params.widened(limit);
        (wide.max_io(), wide.max_hdr(), wide.chunk_size())
    };
    // Requests of the full size are not split.
    assert_eq!(wide(512, 131_072, 4096, 1 << 22), (131_072, 4096, 135_168));
    assert_eq!(wide(1024, 131_072, 4096, 1 << 22), (131_072, 4096, 135_168));
    // As before where the immediate has no room for more, or the allocator.
    assert_eq!(wide(2048, 131_072, 4096, 1 << 22), (126_976, 4096, 131_072));
    assert_eq!(
        wide(1, 1 << 22, 4096, 1 << 22),
        ((1 << 22) - 4096, 4096, 1 << 22)
    );
    // Every offset has its place in the immediate.
    let params = SessionParams::for_server(1024, 131_072, 4096)
        .unwrap()
        .widened(1 << 22);
    let last = params.chunk(1023).unwrap();
    let Immediate::IoRequest(payload) = params.io_immediate(last, 135_167).unwrap() else {
        panic!("not a request");
    };
    assert_eq!(params.io_request(payload), Ok((last, 135_167)));
}

#[test]
fn region_count_divides_the_depth() {
    let count = |depth, per_region| {
        let depth = Depth::new(depth).unwrap();
        SessionParams::new(depth, 4096, 4096)
            .unwrap()
            .region_count(per_region)
    };
    assert_eq!(count(512, 512), 1);
    assert_eq!(count(512, 1 << 20), 1);
    assert_eq!(count(512, 256), 2);
    assert_eq!(count(512, 200), 4);
    assert_eq!(count(512, 1), 512);
    assert_eq!(count(512, 0), 512);
    assert_eq!(count(511, 256), 7);
    assert_eq!(count(509, 508), 509);
    assert_eq!(count(1, 1), 1);
    for depth in 1..700 {
        for per_region in 1..40 {
            let regions = count(depth, per_region);
            assert_eq!(depth % u32::from(regions), 0);
            assert!(depth / u32::from(regions) <= per_region);
        }
    }
}
