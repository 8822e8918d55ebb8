// SPDX-License-Identifier: GPL-2.0

//! The list of addresses that may connect.

use proptest::collection::vec;
use proptest::prelude::*;
use rtrs_proto::*;

fn addr(text: &str) -> Addr {
    Addr::parse(text.as_bytes()).unwrap()
}

fn admits(list: &str, who: &str) -> bool {
    AllowList::parse(list.as_bytes())
        .unwrap()
        .admits(&addr(who))
}

#[test]
fn empty_list_admits_everybody() {
    for list in ["", " ", ",", "\n", " , \t,"] {
        assert!(admits(list, "ip:10.0.0.1"), "{list:?}");
        assert!(admits(list, "gid:fe80::1"), "{list:?}");
    }
}

#[test]
fn addresses_and_prefixes() {
    let table = [
        ("ip:10.0.0.1", "ip:10.0.0.1", true),
        ("ip:10.0.0.1", "ip:10.0.0.2", false),
        ("ip:10.0.0.0/24", "ip:10.0.0.255", true),
        ("ip:10.0.0.0/24", "ip:10.0.1.0", false),
        ("ip:10.0.0.0/31", "ip:10.0.0.1", true),
        ("ip:10.0.0.0/31", "ip:10.0.0.2", false),
        ("ip:10.0.0.77/8", "ip:10.9.9.9", true),
        ("ip:0.0.0.0/0", "ip:192.0.2.1", true),
        ("ip:0.0.0.0/0", "ip:fd00::1", false),
        ("ip:fd00::/64", "ip:fd00::ffff:1", true),
        ("ip:fd00::/64", "ip:fd00:0:0:1::1", false),
        ("ip:fd00::/127", "ip:fd00::1", true),
        ("ip:fd00::/127", "ip:fd00::2", false),
        ("ip:::/0", "ip:fd00::1", true),
        // The bytes of a GID are no IPv6 address, although they look alike.
        ("ip:fe80::1", "gid:fe80::1", false),
        ("gid:fe80::1", "gid:fe80::1", true),
        ("gid:fe80::/10", "gid:febf::1", true),
        ("gid:fe80::/10", "gid:fec0::1", false),
        ("ip:10.0.0.1,ip:10.0.0.2", "ip:10.0.0.2", true),
        ("ip:10.0.0.1 ip:fd00::/16\n", "ip:fd00:5::2", true),
        ("ip:10.0.0.1, gid:fe80::2", "ip:10.0.0.3", false),
    ];
    for (list, who, expected) in table {
        assert_eq!(admits(list, who), expected, "{list:?} {who:?}");
    }
    // Where a client came in does not count.
    let zoned = addr("ip:fe80::1%eth0");
    assert!(AllowList::parse(b"ip:fe80::/10").unwrap().admits(&zoned));
}

#[test]
fn lists_that_are_none() {
    let error = |text: &str| AllowList::parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        error("10.0.0.1"),
        AllowError::Address(AddrError::UnknownPrefix)
    );
    assert_eq!(
        error("ip:10.0.0"),
        AllowError::Address(AddrError::Malformed)
    );
    assert_eq!(
        error("ip:10.0.0.1;"),
        AllowError::Address(AddrError::Malformed)
    );
    for text in [
        "ip:10.0.0.1/33",
        "ip:10.0.0.1/",
        "ip:10.0.0.1/+8",
        "ip:10.0.0.1/-1",
        "ip:10.0.0.1/8/8",
        "ip:fd00::/129",
        "ip:fd00::/256",
        "gid:fe80::/x",
    ] {
        assert_eq!(error(text), AllowError::Prefix, "{text:?}");
    }
    assert_eq!(error("ip:fe80::1%eth0"), AllowError::Zone);
    // One bad entry is enough.
    assert_eq!(error("ip:10.0.0.1,ip:10.0.0.2/99"), AllowError::Prefix);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn prefixes_are_prefixes(own: [u8; 16], other: [u8; 16], bits in 0u8..=128, v4: bool) {
        let bits = if v4 { bits / 4 } else { bits };
        let (own, other, width) = if v4 {
            (
                Addr::V4(own[..4].try_into().unwrap()),
                Addr::V4(other[..4].try_into().unwrap()),
                32,
            )
        } else {
            (Addr::Gid(own), Addr::Gid(other), 128)
        };
        let number = |addr: &Addr| match addr {
            Addr::V4(bytes) => u128::from(u32::from_be_bytes(*bytes)),
            Addr::V6 { addr, .. } | Addr::Gid(addr) => u128::from_be_bytes(*addr),
        };
        let shift = width - u32::from(bits);
        let front = |addr: &Addr| number(addr).checked_shr(shift).unwrap_or(0);
        let text = format!("{own}/{bits}");
        let list = AllowList::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(list.admits(&other), front(&own) == front(&other));
        prop_assert!(list.admits(&own));
    }

    #[test]
    fn never_panics(text in vec(any::<u8>(), 0..80), ascii in "(ip:|gid:)?[0-9a-f:./, ]{0,60}", who: [u8; 16]) {
        for text in [&text[..], ascii.as_bytes()] {
            if let Ok(list) = AllowList::parse(text) {
                let _ = list.admits(&Addr::Gid(who));
            }
        }
    }
}
