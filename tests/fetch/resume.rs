//! Interrupted downloads go on where they stopped, and only there.

use std::fs;

use bbh::data::fetch::Digest;
use tempfile::TempDir;

use super::server::{Request, Server, ok, ranged, reply};
use super::{LABELS, fetch_labels, gzip, plain_labels, sha256, stored};

#[test]
fn redirect_keeps_the_range() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let server = Server::start(move |_, request| match request.path.strip_prefix("/elsewhere/") {
        Some(_) => ranged(request, &body),
        None => reply("302 Found", &format!("Location: /elsewhere{}\r\n", request.path), &[], 0),
    });
    fs::create_dir(root.path().join("tiny")).unwrap();
    fs::write(root.path().join("tiny").join(format!("{LABELS}.part")), &gzip(&plain_labels(1000))[..7]).unwrap();
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!(stored(root.path()), [LABELS]);
    let asked = server.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1], Request { path: format!("/elsewhere/{LABELS}"), from: Some(7) });
}

#[test]
fn truncated_body_is_resumed() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let served = body.clone();
    let server = Server::start(move |number, request| match number {
        0 => reply("200 OK", "", &served, 20),
        _ => ranged(request, &served),
    });
    fetch_labels(root.path(), &[&server.mirror], Digest::File(&sha256(&body))).unwrap();
    let froms: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(froms, [None, Some(20)]);
    assert_eq!(stored(root.path()), [LABELS]);
}

#[test]
fn interrupted_run_is_resumed_by_the_next() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let cut = body.clone();
    let broken = Server::start(move |number, _| match number {
        0 => reply("200 OK", "", &cut, 30),
        _ => reply("503 Service Unavailable", "", &[], 0),
    });
    fetch_labels(root.path(), &[&broken.mirror], Digest::Unknown).unwrap_err();
    assert_eq!(stored(root.path()), [format!("{LABELS}.part")]);
    let server = Server::start(move |_, request| ranged(request, &body));
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!(server.requests()[0].from, Some(30));
    assert_eq!(stored(root.path()), [LABELS]);
}

#[test]
fn a_complete_partial_file_is_taken_as_it_is() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    fs::create_dir(root.path().join("tiny")).unwrap();
    fs::write(root.path().join("tiny").join(format!("{LABELS}.part")), &body).unwrap();
    let server = Server::start(move |_, request| ranged(request, &body));
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!((stored(root.path()), server.requests().len()), (vec![LABELS.to_string()], 1));
}

#[test]
fn a_partial_file_that_does_not_fit_is_dropped() {
    let right = gzip(&plain_labels(1000));
    for (case, part) in [("wrong start", vec![b'?'; 40]), ("too long", vec![b'?'; 100_000])] {
        let root = TempDir::new().unwrap();
        let body = right.clone();
        let server = Server::start(move |_, request| ranged(request, &body));
        fs::create_dir(root.path().join("tiny")).unwrap();
        fs::write(root.path().join("tiny").join(format!("{LABELS}.part")), part).unwrap();
        fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).expect(case);
        assert_eq!(fs::read(root.path().join("tiny").join(LABELS)).unwrap(), right, "{case}");
        assert_eq!(server.requests().last().unwrap().from, None, "{case}");
    }
}

#[test]
fn a_server_without_ranges_starts_over() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let served = body.clone();
    let server = Server::start(move |number, _| match number {
        0 => reply("200 OK", "", &served, 20),
        _ => ok(&served),
    });
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!(fs::read(root.path().join("tiny").join(LABELS)).unwrap(), body);
    assert_eq!(server.requests().len(), 2, "the first start was dropped, not the whole second try");
}
