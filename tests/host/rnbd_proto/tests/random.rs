// SPDX-License-Identifier: GPL-2.0

//! Random input: no bytes make a parser panic, and what was built is what is parsed.

use proptest::collection::vec;
use proptest::prelude::*;
use rnbd_proto::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    }
}

fn data() -> impl Strategy<Value = Data> {
    (
        any::<bool>(),
        prop_oneof![Just(0u32), Just(4096), any::<u32>()],
    )
        .prop_map(|(to, len)| {
            if to {
                Data::ToClient(len)
            } else {
                Data::FromClient(len)
            }
        })
}

fn op() -> impl Strategy<Value = Op> {
    (0u8..6).prop_map(|number| Op::from_wire(number).unwrap())
}

/// A consistent operation and the data that goes with it.
fn io() -> impl Strategy<Value = (Io, Data)> {
    let flags = any::<[bool; 4]>();
    let place = (
        any::<u32>(),
        0..limits::MAX_SECTORS - (1 << 23),
        1u32..1 << 23,
    );
    (op(), flags, place, 2u16..4, 0u16..0x2000).prop_map(|(op, flags, place, class, level)| {
        let [sync, fua, preflush, nounmap] = flags;
        let (device_id, sector, sectors) = place;
        let durable = matches!(op, Op::Write | Op::Flush);
        let size = if op == Op::Flush { 0 } else { sectors * 512 };
        let io = Io {
            device_id,
            sector: if op == Op::Flush { 0 } else { sector },
            op,
            flags: Flags {
                sync,
                fua: fua && durable,
                preflush: preflush && durable,
                nounmap,
            },
            size,
            prio: Some(class << 13 | level),
        };
        let len = if op.has_data() { size } else { 0 };
        let data = if op.is_transport_read() {
            Data::ToClient(len)
        } else {
            Data::FromClient(len)
        };
        (io, data)
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn message_never_panics(kind in 0u8..8, mut usr in vec(any::<u8>(), 0..300), data in data()) {
        if let Some(first) = usr.first_mut() {
            *first = kind;
        }
        if let Some(second) = usr.get_mut(1) {
            *second = 0;
        }
        if let Ok(Message::Io(io)) = Message::parse(&usr, data, false) {
            prop_assert_eq!(io.size % 512, 0);
            prop_assert!(io.end() <= limits::MAX_SECTORS);
            if io.op.has_data() {
                prop_assert_eq!(data.len(), io.size);
            } else {
                prop_assert_eq!(data.len(), 0);
            }
        }
    }

    #[test]
    fn io_never_panics_near_a_message(
        (io, data) in io(),
        at in 0usize..32,
        value: u8,
        len in 0usize..40,
    ) {
        let mut bytes = io.to_bytes();
        bytes[at] = value;
        let _ = Message::parse(&bytes[..len.min(32)], data, false);
    }

    #[test]
    fn io_identity((io, data) in io()) {
        prop_assert_eq!(Message::parse(&io.to_bytes(), data, false), Ok(Message::Io(io)));
    }

    #[test]
    fn control_identity(ver: u8, device_id: u32, mode in 0u8..3, name in vec(1u8.., 1..255)) {
        let sess_info = SessInfo { ver };
        prop_assert_eq!(
            Message::parse(&sess_info.to_bytes(), Data::ToClient(36), false),
            Ok(Message::SessInfo(sess_info))
        );
        let close = Close { device_id };
        prop_assert_eq!(
            Message::parse(&close.to_bytes(), Data::FromClient(0), false),
            Ok(Message::Close(close))
        );
        let open = Open {
            mode: AccessMode::try_from(mode).unwrap(),
            name: DeviceName::new(&name).unwrap(),
            wish: None,
        };
        prop_assert_eq!(
            Message::parse(&open.to_bytes(), Data::ToClient(56), false),
            Ok(Message::Open(open))
        );
        let answer = SessInfoRsp { ver: negotiate(ver) };
        prop_assert_eq!(SessInfoRsp::parse(&answer.to_bytes()), Ok(answer));
    }

    #[test]
    fn open_rsp_never_panics(mut bytes in vec(any::<u8>(), 0..80), block in 0u8..16) {
        if bytes.len() >= 56 {
            bytes[..2].copy_from_slice(&[3, 0]);
            bytes[14..16].fill(0);
            bytes[38..40].copy_from_slice(&(1u16 << block).to_le_bytes());
        }
        if let Ok(answer) = OpenRsp::parse(&bytes) {
            prop_assert!(answer.nsectors <= limits::MAX_SECTORS);
            prop_assert!(answer.logical_block_size <= answer.physical_block_size);
            prop_assert!(answer.discard_alignment == 0
                || answer.discard_alignment < answer.discard_granularity);
            // What was put right once stays as it is.
            prop_assert_eq!(OpenRsp::parse(&answer.to_bytes()), Ok(answer));
        }
        let _ = SessInfoRsp::parse(&bytes);
    }

    #[test]
    fn open_rsp_identity(
        numbers: [u32; 4],
        nsectors in 0..=limits::MAX_SECTORS,
        logical in 9u32..16,
        physical in 0u32..16,
        units in 1u32..1000,
        alignment: u32,
        max_segments: u16,
        flags: [bool; 3],
    ) {
        let [device_id, max_hw_sectors, max_write_zeroes_sectors, max_discard_sectors] = numbers;
        let [secure_discard, fua, write_back] = flags;
        let unit = units << logical;
        let answer = OpenRsp {
            device_id,
            nsectors,
            max_hw_sectors,
            max_write_zeroes_sectors,
            max_discard_sectors,
            discard_granularity: unit,
            discard_alignment: alignment % unit,
            physical_block_size: BlockSize::new(1 << physical.max(logical)).unwrap(),
            logical_block_size: BlockSize::new(1 << logical).unwrap(),
            max_segments,
            secure_discard,
            fua,
            write_back,
        };
        prop_assert_eq!(OpenRsp::parse(&answer.to_bytes()), Ok(answer));
    }

    #[test]
    fn map_options_never_panic(
        text in vec(any::<u8>(), 0..600),
        words in vec(
            "(sessname|device_path|path|dest_port|access_mode|nr_poll_queues)=[-0-9a-fx/@=]{0,6}",
            0..12,
        ),
        cpus: u32,
    ) {
        if let Err(error) = MapOptions::parse(&text, cpus) {
            prop_assert!(error.errno() < 0);
            prop_assert!(!error.to_string().contains('\n'));
        }
        let line = words.join(" ");
        if let Ok(options) = MapOptions::parse(line.as_bytes(), cpus) {
            prop_assert!(options.nr_poll_queues <= cpus);
            prop_assert!((1..=254).contains(&options.sessname.len()));
        }
    }

    #[test]
    fn search_path_never_panics(
        search in "[/x%]{0,4}(%SESSNAME%)?[/x%]{0,4}",
        session in vec(any::<u8>(), 0..254),
        device in vec(1u8.., 1..255),
    ) {
        let device = DeviceName::new(&device).unwrap();
        let mut buf = [0; search_path::PATH_BUF_LEN];
        if let Ok(path) = SearchPath(search.as_bytes()).resolve(&session, &device, &mut buf) {
            prop_assert!(!path.to_bytes().windows(2).any(|pair| pair == b"//"));
        }
    }
}
