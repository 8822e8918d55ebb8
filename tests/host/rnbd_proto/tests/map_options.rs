// SPDX-License-Identifier: GPL-2.0

//! The grammar of `map_device` and its errors (rnbd 3.1, 3.2), the usage text and the
//! name of the symlink (5.2).

use rnbd_proto::link_name::LINK_NAME_BUF_LEN;
use rnbd_proto::map_options::{
    USAGE_HEAD,
    USAGE_TAIL, //
};
use rnbd_proto::*;

const CPUS: u32 = 4;

fn parse(text: &str) -> Result<MapOptions<'_>, MapError<'_>> {
    MapOptions::parse(text.as_bytes(), CPUS)
}

/// Parses with what is mandatory put in front.
fn with(text: &str) -> Result<MapOptions<'static>, i32> {
    let text = format!("sessname=s device_path=d {text}");
    let text: &'static str = Box::leak(text.into_boxed_str());
    parse(text).map_err(MapError::errno)
}

#[test]
fn the_ordinary_line() {
    let options = parse("sessname=blya path=ip:10.0.0.2 device_path=/dev/ram0\n").unwrap();
    assert_eq!(options.sessname, b"blya");
    assert_eq!(options.device_path.as_bytes(), b"/dev/ram0");
    let paths: Vec<_> = options.paths().collect();
    assert_eq!(paths, [(&b"ip:10.0.0.2"[..], 1234)]);
    assert_eq!(options.dest_port, 1234);
    assert_eq!(options.access_mode, AccessMode::Rw);
    assert_eq!(options.nr_poll_queues, 0);
    assert_eq!(options.require_path(), Ok(()));
}

#[test]
fn order_and_white_space() {
    let expected = parse("sessname=s device_path=d path=p").unwrap();
    for text in [
        "path=p device_path=d sessname=s",
        "   path=p    device_path=d sessname=s  ",
        "\n\t path=p device_path=d sessname=s\t\r\n",
        "\x0b\x0cpath=p device_path=d sessname=s",
        "path=p device_path=d sessname=s\0garbage",
        "sessname=x device_path=y device_path=d path=p sessname=s",
    ] {
        assert_eq!(parse(text), Ok(expected.clone()), "{text:?}");
    }
}

#[test]
fn only_spaces_separate() {
    // A tab or newline inside is part of the value, and a mandatory option is missing.
    assert_eq!(
        parse("sessname=s\tdevice_path=d"),
        Err(MapError::NoDevicePath)
    );
    assert_eq!(
        parse("sessname=s\ndevice_path=d"),
        Err(MapError::NoDevicePath)
    );
    let options = parse("sessname=\"s\" device_path='d e").unwrap_err();
    assert_eq!(options, MapError::Unknown(b"e"));
    let options = parse("sessname=\"s=t\" device_path='d'").unwrap();
    assert_eq!(options.sessname, b"\"s=t\"");
    assert_eq!(options.device_path.as_bytes(), b"'d'");
}

#[test]
fn mandatory_options() {
    assert_eq!(parse("device_path=d"), Err(MapError::NoSessname));
    assert_eq!(parse("sessname=s"), Err(MapError::NoDevicePath));
    assert_eq!(parse(""), Err(MapError::NoSessname));
    assert_eq!(parse("\n").unwrap_err().errno(), -22);
    let options = parse("sessname=s device_path=d").unwrap();
    assert_eq!(options.require_path(), Err(MapError::NoPath));
    assert_eq!(MapError::NoPath.errno(), -6);
}

#[test]
fn unknown_words() {
    for word in [
        "foo",
        "foo=bar",
        "=",
        "sessname",
        "sessname=",
        "device_path=",
        "path=",
        "dest_port=",
        "access_mode=",
        "nr_poll_queues=",
        "Sessname=x",
        "SESSNAME=x",
        "sess=x",
        "dest_port=12a",
        "dest_port=a",
        "dest_port=0x",
        "dest_port=08",
        "dest_port=-",
        "dest_port=+5",
        "nr_poll_queues=1x",
        "nr_poll_queues=--1",
    ] {
        assert_eq!(
            parse(word),
            Err(MapError::Unknown(word.as_bytes())),
            "{word}"
        );
        assert_eq!(with(word), Err(-22), "{word}");
    }
}

#[test]
fn names() {
    let name = |len: usize| "n".repeat(len);
    // The 255th character is cut off silently, the 256th is an error.
    for (len, kept) in [(1, 1), (254, 254), (255, 254)] {
        let text = format!("sessname={} device_path={}", name(len), name(len));
        let options = parse(&text).unwrap();
        assert_eq!(options.sessname.len(), kept);
        assert_eq!(options.device_path.as_bytes().len(), kept);
    }
    assert_eq!(with(&format!("sessname={}", name(256))), Err(-22));
    assert_eq!(with(&format!("device_path={}", name(256))), Err(-22));
    // Only a new session has to have a proper name.
    assert_eq!(with("sessname=a/b.c").unwrap().sessname, b"a/b.c");
}

#[test]
fn ports() {
    let port = |text: &str| with(text).map(|options| options.dest_port);
    assert_eq!(port("dest_port=0"), Ok(0));
    assert_eq!(port("dest_port=65535"), Ok(65535));
    assert_eq!(port("dest_port=0x10"), Ok(16));
    assert_eq!(port("dest_port=0X1f"), Ok(31));
    assert_eq!(port("dest_port=010"), Ok(8));
    assert_eq!(port("dest_port=00"), Ok(0));
    assert_eq!(port("dest_port=-0"), Ok(0));
    assert_eq!(port("dest_port=65536"), Err(-22));
    assert_eq!(port("dest_port=-1"), Err(-22));
    assert_eq!(port("dest_port=99999999999999999999999"), Err(-22));
    assert_eq!(port("dest_port=0xffffffffffffffffffffff"), Err(-22));
    assert_eq!(port("dest_port=-99999999999999999999999"), Err(-22));
}

#[test]
fn port_applies_to_its_right() {
    let options = with("path=a dest_port=1 path=b path=c dest_port=2").unwrap();
    let paths: Vec<_> = options.paths().collect();
    assert_eq!(paths, [(&b"a"[..], 1234), (&b"b"[..], 1), (&b"c"[..], 1)]);
    assert_eq!(options.dest_port, 2);
}

#[test]
fn number_of_paths() {
    let paths =
        |count: usize| with(&"path=p ".repeat(count)).map(|options| options.paths().count());
    for count in 0..=6 {
        assert_eq!(paths(count), Ok(count));
    }
    assert_eq!(paths(7), Err(-12));
    assert_eq!(MapError::TooManyPaths.errno(), -12);
}

#[test]
fn access_modes() {
    let mode = |text: &str| with(text).map(|options| options.access_mode);
    assert_eq!(mode("access_mode=ro"), Ok(AccessMode::Ro));
    assert_eq!(mode("access_mode=rw"), Ok(AccessMode::Rw));
    assert_eq!(mode("access_mode=migration"), Ok(AccessMode::Migration));
    assert_eq!(mode("access_mode=ro access_mode=rw"), Ok(AccessMode::Rw));
    for text in ["RO", "r", "row", "migrate", "0"] {
        assert_eq!(mode(&format!("access_mode={text}")), Err(-22));
    }
}

#[test]
fn poll_queues() {
    let queues = |text: &str| with(text).map(|options| options.nr_poll_queues);
    assert_eq!(queues("nr_poll_queues=0"), Ok(0));
    assert_eq!(queues("nr_poll_queues=4"), Ok(CPUS));
    assert_eq!(queues("nr_poll_queues=-1"), Ok(CPUS));
    assert_eq!(queues("nr_poll_queues=5"), Err(-22));
    assert_eq!(queues("nr_poll_queues=-2"), Err(-22));
    assert_eq!(queues("nr_poll_queues=4294967296"), Err(-22));
    assert_eq!(queues("nr_poll_queues=4294967295"), Err(-22));
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(
        parse("sessname=s device_path=d access_mode=x\ny")
            .unwrap_err()
            .to_string(),
        "bad access_mode: use ro, rw or migration (in \"access_mode=x\\ny\")"
    );
    assert_eq!(
        parse("").unwrap_err().to_string(),
        "no session name: add sessname="
    );
    for error in [
        MapError::Unknown(b"x"),
        MapError::NameTooLong(b"x"),
        MapError::Port(b"x"),
        MapError::PollQueues(b"x"),
        MapError::AccessMode(b"x"),
        MapError::TooManyPaths,
        MapError::NoSessname,
        MapError::NoDevicePath,
        MapError::NoPath,
    ] {
        assert!(!error.message().contains('\n'));
        assert!(error.errno() < 0);
    }
}

#[test]
fn usage() {
    assert_eq!(
        format!("{USAGE_HEAD}map_device{USAGE_TAIL}"),
        concat!(
            "Usage: echo \"[dest_port=server port number] sessname=<name of the rtrs session> ",
            "path=<[srcaddr@]dstaddr> [path=<[srcaddr@]dstaddr>] device_path=<full path on ",
            "remote side> [access_mode=<ro|rw|migration>] [nr_poll_queues=<number of queues>]\" ",
            "> map_device\n\naddr ::= [ ip:<ipv4> | ip:<ipv6> | gid:<gid> ]\n"
        )
    );
}

#[test]
fn link_names() {
    let link = |device: &[u8], session: &[u8]| {
        let device = DeviceName::new(device).unwrap();
        let name = LinkName {
            device: &device,
            session,
        };
        let mut buf = [0xaa; LINK_NAME_BUF_LEN];
        let text = name.to_c_str(&mut buf).to_bytes().to_vec();
        assert!(name.bytes().eq(text.iter().copied()));
        text
    };
    assert_eq!(link(b"/dev/ram0", b"t1"), b"!dev!ram0@t1");
    assert_eq!(link(b"a!b//c", b"x@y"), b"a!b!!c@x@y");
    let longest = link(&[b'/'; 254], &[b's'; 254]);
    assert_eq!(longest.len(), 509);
    assert_eq!(longest[254], b'@');
}

#[test]
fn search_paths() {
    let resolve = |search: &str, session: &str, device: &str| {
        let device = DeviceName::new(device.as_bytes()).unwrap();
        let mut buf = [0xaa; search_path::PATH_BUF_LEN];
        SearchPath(search.as_bytes())
            .resolve(session.as_bytes(), &device, &mut buf)
            .map(|path| path.to_str().unwrap().to_owned())
    };
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(resolve("/", "s", "/dev/ram0"), ok("/dev/ram0"));
    assert_eq!(resolve("/", "s", "dev//ram0"), ok("/dev/ram0"));
    assert_eq!(resolve("/srv", "s", "disk"), ok("/srv/disk"));
    assert_eq!(resolve("//srv///x//", "s", "///disk"), ok("/srv/x/disk"));
    // S21: anywhere, any number of times, and what follows is kept.
    assert_eq!(resolve("/srv/%SESSNAME%", "s", "d"), ok("/srv/s/d"));
    assert_eq!(
        resolve("/srv/%SESSNAME%/disks", "s", "d"),
        ok("/srv/s/disks/d")
    );
    assert_eq!(resolve("/srv/a-%SESSNAME%-b", "s", "d"), ok("/srv/a-s-b/d"));
    assert_eq!(resolve("%SESSNAME%%SESSNAME%", "s", "d"), ok("ss/d"));
    // A session that is called like the placeholder is not expanded again.
    assert_eq!(
        resolve("/%SESSNAME%", "%SESSNAME%", "%SESSNAME%"),
        ok("/%SESSNAME%/%SESSNAME%")
    );
    assert_eq!(resolve("/%SESSNAME", "s", "d"), ok("/%SESSNAME/d"));
    // No way up, also where it would be harmless.
    for device in ["..", "../x", "a/../b", "a..b", "..."] {
        assert_eq!(resolve("/", "s", device), Err(SearchPathError::DotDot));
    }
    assert_eq!(resolve("/", "s", "./a.b"), ok("/./a.b"));
    // The longest path has 4095 bytes.
    let search = format!("/{}", "x".repeat(4092));
    assert_eq!(resolve(&search, "s", "d").unwrap().len(), 4095);
    assert_eq!(resolve(&search, "s", "dd"), Err(SearchPathError::TooLong));
    assert_eq!(SearchPathError::DotDot.errno(), -22);
}

fn session_name(options: &MapOptions<'_>) -> String {
    let mut buffer = [0xaa; limits::NAME_MAX];
    String::from_utf8(options.session_name(&mut buffer).to_vec()).unwrap()
}

#[test]
fn the_words_of_ibnbd() {
    // `server=` is a path, and names the session.
    let options = parse("server=ip:10.50.100.64 device_path=/dev/ram0").unwrap();
    let paths: Vec<_> = options.paths().collect();
    assert_eq!(paths, [(&b"ip:10.50.100.64"[..], 1234)]);
    assert_eq!(session_name(&options), "ip:10-50-100-64");
    assert_eq!(options.require_path(), Ok(()));
    assert_eq!(options.io_mode, None);
    // A name that is given counts, wherever it stands.
    for text in [
        "sessname=s server=ip:10.0.0.1 device_path=d",
        "server=ip:10.0.0.1 device_path=d sessname=s",
    ] {
        assert_eq!(session_name(&parse(text).unwrap()), "s");
    }
    // Together with paths it is one of them; the port to its left applies.
    let options =
        parse("path=ip:1.1.1.1 dest_port=7 server=ip:fd00::1%eth0.1 device_path=d").unwrap();
    let paths: Vec<_> = options.paths().collect();
    assert_eq!(
        paths,
        [(&b"ip:1.1.1.1"[..], 1234), (&b"ip:fd00::1%eth0.1"[..], 7)]
    );
    assert_eq!(session_name(&options), "ip:fd00::1%eth0-1");
    // What was given as a session's name is not touched, even where it is wrong.
    assert_eq!(
        session_name(&parse("sessname=a.b device_path=d").unwrap()),
        "a.b"
    );
    assert_eq!(parse("device_path=d"), Err(MapError::NoSessname));
    assert_eq!(with("server="), Err(-22));
    assert_eq!(
        with("path=a path=a path=a path=a path=a path=a server=b"),
        Err(-12)
    );

    assert_eq!(with("input_mode=mq").map(|_| ()), Ok(()));
    for word in ["input_mode=rq", "input_mode=MQ", "input_mode=bio"] {
        let text = format!("sessname=s device_path=d {word}");
        assert_eq!(parse(&text), Err(MapError::InputMode(word.as_bytes())));
    }
    assert!(MapError::InputMode(b"").message().contains("rq"));
    assert_eq!(with("io_mode=fileio").unwrap().io_mode, Some(IoMode::File));
    assert_eq!(
        with("io_mode=blockio").unwrap().io_mode,
        Some(IoMode::Block)
    );
    assert_eq!(
        with("io_mode=blockio io_mode=fileio").unwrap().io_mode,
        Some(IoMode::File)
    );
    assert_eq!(
        parse("sessname=s device_path=d io_mode=autoio"),
        Err(MapError::IoMode(b"io_mode=autoio"))
    );
}

#[test]
fn numbers_of_files() {
    for (text, value) in [
        ("0", 0),
        ("8", 8),
        ("+8\n", 8),
        ("0x10", 16),
        ("0X1f", 31),
        ("010", 8),
        ("18446744073709551615", u64::MAX),
        ("0xffffffffffffffff\n", u64::MAX),
    ] {
        assert_eq!(number(text.as_bytes()), Ok(value), "{text:?}");
    }
    for text in [
        "", "\n", "+", "-1", " 8", "8 ", "8\n\n", "0x", "08", "8k", "++8", "\n8", "0x+1",
    ] {
        assert_eq!(number(text.as_bytes()), Err(-22), "{text:?}");
    }
    for text in ["18446744073709551616", "0x10000000000000000"] {
        assert_eq!(number(text.as_bytes()), Err(-34), "{text:?}");
    }
    // Not a number at all, however long it is.
    assert_eq!(number(b"99999999999999999999999x"), Err(-22));
}
