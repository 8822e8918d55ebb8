// SPDX-License-Identifier: GPL-2.0

//! Random input: no bytes make a parser panic, and what was built is what is parsed.

use proptest::collection::vec;
use proptest::prelude::*;
use rtrs_proto::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    }
}

fn params() -> impl Strategy<Value = SessionParams> {
    (1u32..=65535, 0u32..=1 << 28, 64u32..=65536).prop_filter_map(
        "not a session",
        |(depth, max_io, max_hdr)| {
            let depth = Depth::new(depth)?;
            // Mostly too large together; shrink the chunk until they fit.
            (0..28).find_map(|shift| SessionParams::new(depth, max_io >> shift, max_hdr).ok())
        },
    )
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(addr, key, len)| Descriptor {
        addr,
        key,
        len,
    })
}

/// Bytes that look like a message at least in the beginning.
fn almost(front: Vec<u8>, max: usize) -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), 0..max);
    prop_oneof![
        bytes.clone(),
        bytes.prop_map(move |tail| [front.clone(), tail].concat()),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn connect_request_never_panics(bytes in almost(vec![0, 0, 0xbd, 0x1b, 0, 2], 120)) {
        if let Ok(request) = ConnectRequest::parse(&bytes) {
            prop_assert!(request.cid() < request.cid_num());
            prop_assert!(request.cid_num() <= 4096);
        }
    }

    #[test]
    fn connect_request_identity(
        cid_num in 1u16..=4096,
        cid in any::<prop::sample::Index>(),
        recon_cnt: u16,
        path: [u8; 16],
        session: [u8; 16],
        first_conn: bool,
        version: u8,
        bits: u16,
    ) {
        let cid = cid.index(usize::from(cid_num)) as u16;
        let request =
            ConnectRequest::new(cid, cid_num, recon_cnt, Uuid(path), Uuid(session), first_conn)
                .unwrap();
        prop_assert_eq!(ConnectRequest::parse(&request.to_bytes()), Ok(request));
        prop_assert_eq!(&request.to_bytes()[45..], &[0; 11]);
        let offer = request.offer(Features::from_wire(version, bits));
        prop_assert_eq!(ConnectRequest::parse(&offer.to_bytes()), Ok(offer));
        prop_assert_eq!(offer.offer(Features::NONE), request);
    }

    #[test]
    fn reply_never_panics(bytes in almost(vec![0xbd, 0x1b, 0, 2, 0, 0], 200)) {
        if let Ok(ConnectReply::Accept { params, .. }) = ConnectReply::parse(&bytes) {
            prop_assert!(params.chunk_bits() + params.off_bits() == 28);
            prop_assert!(params.chunk_size() <= 1 << params.off_bits());
            prop_assert!(u64::from(params.pool_size())
                == u64::from(params.chunk_size()) * u64::from(params.depth().get()));
        }
        prop_assert!(RejectErrno::from_private_data(&bytes).get() < 0);
    }

    #[test]
    fn reply_identity(params in params(), new_rkey: bool, bits: u16, errno in 1i32..=4095) {
        let features = Features::from_wire(1, bits);
        let accept = ConnectReply::Accept { params, new_rkey, features };
        prop_assert_eq!(ConnectReply::parse(&accept.to_bytes()), Ok(accept));
        let reject = ConnectReply::Reject(RejectErrno::new(-errno));
        prop_assert_eq!(ConnectReply::parse(&reject.to_bytes()), Ok(reject));
        prop_assert_eq!(RejectErrno::from_private_data(&reject.to_bytes()).get(), -errno);
    }

    #[test]
    fn info_request_never_panics(bytes in almost(vec![0, 0, b'a'], 300)) {
        if let Ok(request) = InfoRequest::parse(&bytes) {
            prop_assert!(!request.name.as_bytes().contains(&b'/'));
            prop_assert!((1..=254).contains(&request.name.as_bytes().len()));
        }
    }

    #[test]
    fn info_request_identity(name in vec(any::<u8>(), 0..260)) {
        if let Ok(name) = SessionName::new(&name) {
            let request = InfoRequest { name };
            prop_assert_eq!(InfoRequest::parse(&request.to_bytes()), Ok(request.clone()));
        }
    }

    #[test]
    fn info_response_never_panics(params in params(), bytes in almost(vec![1, 0, 1, 0, 0, 0, 0, 0], 200)) {
        if let Ok(response) = InfoResponse::parse(&bytes, &params) {
            prop_assert_eq!(response.chunks().count(), usize::from(params.depth().get()));
        }
    }

    #[test]
    fn info_response_identity(
        regions in vec((any::<u32>(), any::<u32>(), 1u32..20), 1..20),
        chunk in 13u32..=17,
    ) {
        let depth: u32 = regions.iter().map(|(_, _, chunks)| chunks).sum();
        let size = 1 << chunk;
        let params = SessionParams::for_server(depth, size, 4096).unwrap();
        let mut bytes = InfoResponse::header(regions.len() as u16).to_vec();
        let mut expected = Vec::new();
        for (addr, key, chunks) in &regions {
            let addr = u64::from(*addr);
            let desc = Descriptor { addr, key: *key, len: chunks * size };
            bytes.extend(desc.to_bytes());
            expected.extend((0..*chunks).map(|at| (addr + u64::from(at * size), *key)));
        }
        let parsed = InfoResponse::parse(&bytes, &params);
        if depth % regions.len() as u32 == 0 {
            let chunks = parsed.unwrap().chunks();
            let chunks: Vec<_> = chunks.map(|chunk| (chunk.addr, chunk.key)).collect();
            prop_assert_eq!(chunks, expected);
        } else {
            prop_assert!(parsed.is_err());
        }
    }

    #[test]
    fn request_never_panics(
        tail in almost(vec![3, 0, 32, 0, 1, 0, 1, 0], 30),
        off: u32,
        chunk_size: u32,
        near: bool,
    ) {
        let off = if near && chunk_size > 0 { off % chunk_size } else { off };
        if let Ok(request) = RequestMsg::parse(&tail, off, chunk_size) {
            prop_assert_eq!(request.data_len() + u32::from(request.usr_len()), off);
            prop_assert!(off + 4 <= chunk_size);
            match request.desc() {
                Some(desc) => prop_assert!((1..=request.data_len()).contains(&desc.len)),
                None => prop_assert!(!request.need_inval()),
            }
        }
    }

    #[test]
    fn request_identity(
        usr_len: u16,
        data_len in 1u32..1 << 20,
        need_inval: bool,
        desc in proptest::option::of(descriptor()),
    ) {
        let off = data_len + u32::from(usr_len);
        let desc = desc.map(|desc| Descriptor { len: desc.len % data_len + 1, ..desc });
        let read = ReadMsg { usr_len, need_inval, desc };
        let parsed = RequestMsg::parse(&read.to_bytes()[..read.wire_len()], off, 1 << 28).unwrap();
        prop_assert_eq!(parsed.direction(), Direction::Read);
        prop_assert_eq!((parsed.usr_len(), parsed.data_len()), (usr_len, data_len));
        prop_assert_eq!(parsed.desc(), desc);
        prop_assert_eq!(parsed.need_inval(), need_inval && desc.is_some());

        let write = WriteMsg { usr_len };
        let parsed = RequestMsg::parse(&write.to_bytes(), off, 1 << 28).unwrap();
        prop_assert_eq!(parsed.direction(), Direction::Write);
        prop_assert_eq!((parsed.usr_len(), parsed.data_len()), (usr_len, data_len));
    }

    #[test]
    fn fence_never_panics_and_identity(
        tail in almost(vec![16, 0, 0, 0], 30),
        off: u32,
        chunk_size: u32,
        bits: u16,
        path: [u8; 16],
    ) {
        let features = Features::from_wire(1, bits);
        match ChunkMsg::parse(&tail, off, chunk_size, features) {
            Ok(ChunkMsg::Fence(fence)) => {
                prop_assert!(features.has(Features::FENCE));
                prop_assert!(chunk_size - off >= 24);
                prop_assert_eq!(&fence.path.0[..], &tail[8..24]);
            }
            other => prop_assert_eq!(
                other.is_ok(),
                RequestMsg::parse(&tail, off, chunk_size).is_ok()
            ),
        }
        let fence = FenceRequest { path: Uuid(path) };
        prop_assert_eq!(FenceRequest::parse(&fence.to_bytes(), off % 1000, 1024), Ok(fence));
    }

    #[test]
    fn rkey_never_panics_and_identity(bytes in almost(vec![4, 0], 20), params in params(), id: u16, rkey: u32) {
        if let Ok(message) = RkeyMsg::parse(&bytes, &params) {
            prop_assert!(message.buf_id.get() < params.depth().get());
        }
        if let Some(buf_id) = params.chunk(u32::from(id)) {
            let message = RkeyMsg { buf_id, rkey };
            prop_assert_eq!(RkeyMsg::parse(&message.to_bytes(), &params), Ok(message));
        }
    }

    #[test]
    fn immediate_of_every_value(value: u32, params in params()) {
        let immediate = Immediate::decode(value);
        match immediate {
            Immediate::IoRequest(payload) => {
                prop_assert_eq!(immediate.encode(), value);
                if let Ok((chunk, off)) = params.io_request(payload) {
                    prop_assert!(chunk.get() < params.depth().get());
                    prop_assert!(off < params.chunk_size());
                    prop_assert_eq!(params.io_immediate(chunk, off), Ok(immediate));
                }
            }
            Immediate::IoResponse { .. } | Immediate::Notice(_) => prop_assert_eq!(immediate.encode(), value),
            _ => prop_assert_eq!(immediate.encode() >> 28, value >> 28),
        }
    }

    #[test]
    fn immediate_identity(params in params(), chunk in any::<prop::sample::Index>(), off in any::<prop::sample::Index>(), errno in 0i32..512, invalidated: bool) {
        let chunk = chunk.index(usize::from(params.depth().get())) as u32;
        let chunk = params.chunk(chunk).unwrap();
        let off = off.index(params.chunk_size() as usize) as u32;
        let request = params.io_immediate(chunk, off).unwrap();
        prop_assert_eq!(Immediate::decode(request.encode()), request);
        let Immediate::IoRequest(payload) = request else { unreachable!() };
        prop_assert_eq!(params.io_request(payload), Ok((chunk, off)));
        let response = Immediate::response(chunk, Errno9::new(-errno), invalidated);
        prop_assert_eq!(Immediate::decode(response.encode()), response);
    }

    #[test]
    fn addresses_never_panic(text in vec(any::<u8>(), 0..60), ascii in "(ip|gid)?:?[0-9a-f:.%@,]{0,40}") {
        let _ = PathSpec::parse(&text);
        if let Ok(path) = PathSpec::parse(ascii.as_bytes()) {
            prop_assert_eq!(Addr::parse(path.dst.to_string().as_bytes()).is_ok(), true);
        }
    }

    #[test]
    fn address_identity(octets: [u8; 16], v4: [u8; 4]) {
        for addr in [Addr::V4(v4), Addr::V6 { addr: octets, scope: None }, Addr::Gid(octets)] {
            prop_assert_eq!(Addr::parse(addr.to_string().as_bytes()), Ok(addr));
        }
    }
}
