// SPDX-License-Identifier: GPL-2.0

//! What may have become of a device that is opened again (rnbd 8.2, C6).

use rnbd_proto::*;

fn rsp(logical: u32, write_back: bool) -> OpenRsp {
    OpenRsp {
        device_id: 0,
        nsectors: 2048,
        max_hw_sectors: 248,
        max_write_zeroes_sectors: 0xffff,
        max_discard_sectors: 0xffff,
        discard_granularity: 4096,
        discard_alignment: 0,
        physical_block_size: BlockSize::new(4096).unwrap(),
        logical_block_size: BlockSize::new(logical).unwrap(),
        max_segments: 128,
        secure_discard: true,
        fua: true,
        write_back,
    }
}

fn ext(logical: u32, identity: &str, generation: u64) -> OpenExt {
    OpenExt {
        rotational: false,
        stable_writes: false,
        read_only: false,
        io_mode: None,
        physical_block_size: 4096,
        logical_block_size: logical,
        io_min: 4096,
        io_opt: 0,
        max_secure_erase_sectors: 0,
        secure_erase_granularity: 0,
        max_hw_sectors: 248,
        dma_alignment: 511,
        chunk_sectors: 0,
        generation,
        identity: Identity::new(identity.as_bytes()).unwrap(),
    }
}

fn opened(logical: u32, write_back: bool, identity: Option<&str>) -> Opened {
    Opened {
        rsp: rsp(logical, write_back),
        ext: identity.map(|identity| ext(logical, identity, 1)),
    }
}

#[test]
fn what_a_disk_can_live_with() {
    let old = opened(512, true, Some("naa.1"));
    assert_eq!(old.objection(&old), None);
    // Another id, size, generation and hints; less that works; a cache less.
    let mut now = old;
    now.rsp.device_id = 9;
    now.rsp.nsectors = 1;
    now.rsp.max_discard_sectors = 0;
    now.rsp.max_write_zeroes_sectors = 0;
    now.rsp.secure_discard = false;
    now.rsp.fua = false;
    now.rsp.write_back = false;
    now.rsp.physical_block_size = BlockSize::new(512).unwrap();
    now.ext = Some(ext(512, "naa.1", 77));
    assert_eq!(old.objection(&now), None);
    // A smaller block: everything that the disk sends is aligned all the more.
    assert_eq!(
        opened(4096, true, None).objection(&opened(512, true, None)),
        None
    );
}

#[test]
fn what_it_cannot_live_with() {
    for (old, now, objection) in [
        (
            opened(512, true, Some("naa.1")),
            opened(512, true, Some("naa.2")),
            Objection::OtherDevice,
        ),
        (
            opened(512, true, None),
            opened(4096, true, None),
            Objection::BlockSize,
        ),
        (
            opened(512, false, None),
            opened(512, true, None),
            Objection::WriteCache,
        ),
    ] {
        assert_eq!(old.objection(&now), Some(objection));
        assert!(!objection.as_str().is_empty());
    }
}

#[test]
fn an_identity_that_is_not_known_proves_nothing() {
    for (old, now) in [
        (Some("naa.1"), Some("")),
        (Some(""), Some("naa.1")),
        (Some("naa.1"), None),
        (None, Some("naa.1")),
        (Some(""), Some("")),
    ] {
        let (old, now) = (opened(512, true, old), opened(512, true, now));
        assert_eq!(old.objection(&now), None);
    }
}

#[test]
fn an_identity_is_not_forgotten() {
    let named = opened(512, true, Some("naa.1"));
    let other = opened(512, true, Some("naa.2"));
    for silent in [opened(4096, false, Some("")), opened(4096, false, None)] {
        let known = named.followed_by(silent);
        assert_eq!(known.rsp, silent.rsp);
        assert_eq!(
            known.ext.unwrap().identity,
            Identity::new(b"naa.1").unwrap()
        );
        let same_block = known.followed_by(opened(512, false, None));
        assert_eq!(same_block.objection(&other), Some(Objection::OtherDevice));
        // One that was not known becomes known.
        assert_eq!(silent.followed_by(named), named);
    }
}

#[test]
fn the_extension_counts_only_if_it_was_asked_for() {
    let bytes = ext(512, "naa.1", 5).to_bytes(&rsp(512, true));
    assert_eq!(Opened::parse(&bytes, false).unwrap().ext, None);
    let both = Opened::parse(&bytes, true).unwrap();
    assert_eq!(both.rsp, rsp(512, true));
    assert_eq!(both.ext.unwrap().identity.as_bytes(), b"naa.1");
    // A server that sends none, or nothing at all.
    let plain = rsp(512, true).to_bytes();
    assert_eq!(Opened::parse(&plain, true).unwrap().ext, None);
    assert_eq!(Opened::parse(&plain[..55], true), Err(ResponseError::Short));
}
