// SPDX-License-Identifier: GPL-2.0

//! The grammar of addresses and paths, and how sysfs shows them (rtrs 3.1 and 7).

use rtrs_proto::*;

fn addr(text: &str) -> Result<Addr, AddrError> {
    Addr::parse(text.as_bytes())
}

fn path(text: &str) -> Result<PathSpec, PathError> {
    PathSpec::parse(text.as_bytes())
}

fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

#[test]
fn addresses() {
    assert_eq!(addr("ip:192.168.1.10"), Ok(Addr::V4([192, 168, 1, 10])));
    assert_eq!(
        addr("ip:fe80::200:100"),
        Ok(Addr::V6 {
            addr: v6("fe80::200:100"),
            scope: None
        })
    );
    let Ok(Addr::V6 { scope, .. }) = addr("ip:fe80::1%eth0") else {
        panic!("no IPv6 address");
    };
    assert_eq!(scope.unwrap().as_bytes(), b"eth0");
    assert_eq!(scope.unwrap().index(), None);
    let Ok(Addr::V6 { scope, .. }) = addr("ip:fe80::1%17") else {
        panic!("no IPv6 address");
    };
    assert_eq!(scope.unwrap().index(), Some(17));
    assert_eq!(
        addr("gid:fe80:0000:0000:0000:0002:c903:0010:c0d5"),
        Ok(Addr::Gid(v6("fe80::2:c903:10:c0d5")))
    );
    assert_eq!(addr("gid:fe80::1"), Ok(Addr::Gid(v6("fe80::1"))));
}

#[test]
fn malformed_addresses() {
    for text in [
        "ip:",
        "ip:1.2.3",
        "ip:1.2.3.256",
        "ip:1.2.3.4.5",
        "ip:1.2.3.4 ",
        "ip:host",
        "ip:fe80:::1",
        "ip:fe80::1%",
        "ip:fe80::1%averylonginterface",
        "ip:1.2.3.4%eth0",
        "ip:1.2.3.4:1234",
        "ip:[::1]",
        "gid:",
        "gid:1.2.3.4",
        "gid:fe80::1%eth0",
        "gid:fe80",
    ] {
        assert_eq!(addr(text), Err(AddrError::Malformed), "{text}");
    }
    for text in [
        "",
        "1.2.3.4",
        "ib:fe80::1",
        "IP:1.2.3.4",
        "ip",
        "gi:fe80::1",
    ] {
        assert_eq!(addr(text), Err(AddrError::UnknownPrefix), "{text}");
    }
    assert_eq!(Addr::parse(b"ip:\xff\xff"), Err(AddrError::Malformed));
}

#[test]
fn paths() {
    let src = Addr::V4([10, 0, 0, 1]);
    let dst = Addr::V4([10, 0, 0, 2]);
    for text in ["ip:10.0.0.1,ip:10.0.0.2", "ip:10.0.0.1@ip:10.0.0.2"] {
        assert_eq!(
            path(text),
            Ok(PathSpec {
                src: Some(src),
                dst
            })
        );
    }
    assert_eq!(path("ip:10.0.0.2"), Ok(PathSpec { src: None, dst }));
    // The comma is found first, and then the rest is no address.
    assert_eq!(
        path("ip:10.0.0.1@ip:10.0.0.2,ip:10.0.0.2"),
        Err(PathError::Source(AddrError::Malformed))
    );
}

#[test]
fn path_errors() {
    let errno = |text| path(text).map_err(PathError::errno);
    // Only the destination's prefix has a number of its own.
    assert_eq!(errno("10.0.0.2").unwrap_err(), -93);
    assert_eq!(errno("ip:10.0.0.1,10.0.0.2").unwrap_err(), -93);
    assert_eq!(errno("ip:10.0.0.1@").unwrap_err(), -93);
    assert_eq!(errno("").unwrap_err(), -93);
    assert_eq!(errno("ip:10.0.0").unwrap_err(), -22);
    assert_eq!(errno("10.0.0.1,ip:10.0.0.2").unwrap_err(), -22);
    assert_eq!(errno("@ip:10.0.0.2").unwrap_err(), -22);
    assert_eq!(errno("ip:1.2.3,ip:10.0.0.2").unwrap_err(), -22);
    assert_eq!(
        path("x").unwrap_err().to_string(),
        "destination address must start with ip: or gid:"
    );
    assert_eq!(
        path("ip:x@ip:1.2.3.4").unwrap_err().to_string(),
        "source address is malformed"
    );
}

#[test]
fn display() {
    for (text, shown) in [
        ("ip:192.168.1.10", "ip:192.168.1.10"),
        ("ip:FE80:0:0:0:0:0:0:1", "ip:fe80::1"),
        ("ip:fe80::1%eth0", "ip:fe80::1"),
        ("ip:2001:db8:0:1:1:1:1:1", "ip:2001:db8:0:1:1:1:1:1"),
        ("ip:2001:0:0:1:0:0:0:1", "ip:2001:0:0:1::1"),
        ("ip:::", "ip:::"),
        ("ip:::ffff:10.0.0.1", "ip:::ffff:10.0.0.1"),
        (
            "gid:fe80::2:c903:10:c0d5",
            "gid:fe80:0000:0000:0000:0002:c903:0010:c0d5",
        ),
    ] {
        assert_eq!(addr(text).unwrap().to_string(), shown);
    }
    let name = PathName {
        src: addr("ip:10.0.0.1").unwrap(),
        dst: addr("gid:fe80::1").unwrap(),
    };
    assert_eq!(
        name.to_string(),
        "ip:10.0.0.1@gid:fe80:0000:0000:0000:0000:0000:0000:0001"
    );
}
