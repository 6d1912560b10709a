//! The downloader against a server on loopback.

mod resume;
mod server;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use bbh::data::fetch::{Digest, Kind, Progress, RemoteFile, Retry, Source, fetch, find};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use server::{Request, Server, ok, ranged, reply};

const RETRY: Retry = Retry { attempts: 3, pause: Duration::from_millis(1) };
const LABELS: &str = "t10k-labels-idx1-ubyte.gz";

/// Uncompressed IDX labels 0, 1, ..., 9, 0, ...
fn plain_labels(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend((0..count).map(|i| (i % 10) as u8));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn labels_file(digest: Digest<'_>) -> RemoteFile<'_> {
    RemoteFile { name: LABELS, kind: Kind::Labels { count: 1000 }, digest }
}

/// Fetches the labels file from `mirrors`; the result's text is the error.
fn fetch_labels(root: &Path, mirrors: &[&str], digest: Digest) -> Result<(), String> {
    let files = [labels_file(digest)];
    let source = Source { name: "tiny", folder: "tiny", mirrors, files: &files };
    fetch(&source, root, RETRY, &mut |_| {}).map_err(|e| e.to_string())
}

/// Names in the folder `tiny`, sorted.
fn stored(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("tiny")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn whole_file_once() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let served = body.clone();
    let server = Server::start(move |_, request| ranged(request, &served));
    let digest = sha256(&plain_labels(1000));
    let files = [labels_file(Digest::Contents(&digest))];
    let source = Source { name: "tiny", folder: "tiny", mirrors: &[&server.mirror], files: &files };
    let mut last = None;
    let mut progress = |now: Progress| last = Some((now.file.to_string(), now.received, now.total));
    fetch(&source, root.path(), RETRY, &mut progress).unwrap();
    let size = body.len() as u64;
    assert_eq!(last, Some((LABELS.to_string(), size, Some(size))));
    assert_eq!(stored(root.path()), [LABELS]);
    assert_eq!(fs::read(root.path().join("tiny").join(LABELS)).unwrap(), body);
    fetch(&source, root.path(), RETRY, &mut |_| {}).unwrap();
    assert_eq!(server.requests(), [Request { path: format!("/{LABELS}"), from: None }]);
}

#[test]
fn a_damaged_file_is_replaced() {
    let root = TempDir::new().unwrap();
    let body = gzip(&plain_labels(1000));
    let server = Server::start(move |_, request| ranged(request, &body));
    fs::create_dir(root.path().join("tiny")).unwrap();
    fs::write(root.path().join("tiny").join(LABELS), gzip(&plain_labels(999))).unwrap();
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!(fs::read(root.path().join("tiny").join(LABELS)).unwrap(), gzip(&plain_labels(1000)));
}

#[test]
fn wrong_hash_falls_back_to_the_next_mirror() {
    let root = TempDir::new().unwrap();
    let mut other = plain_labels(1000);
    other[8] = 5;
    let other = gzip(&other);
    let wrong = Server::start(move |_, _| ok(&other));
    let digest = sha256(&plain_labels(1000));
    let error = fetch_labels(root.path(), &[&wrong.mirror], Digest::Contents(&digest)).unwrap_err();
    assert!(error.contains(&digest) && error.contains("tiny"), "{error}");
    assert_eq!((stored(root.path()).len(), wrong.requests().len()), (0, 1));
    let body = gzip(&plain_labels(1000));
    let right = Server::start(move |_, _| ok(&body));
    fetch_labels(root.path(), &[&wrong.mirror, &right.mirror], Digest::Contents(&digest)).unwrap();
    assert_eq!(stored(root.path()), [LABELS]);
}

#[test]
fn format_is_checked_where_no_hash_is_known() {
    let mut high = plain_labels(1000);
    high[100] = 10;
    let cases = [
        (gzip(&plain_labels(999)), "[1000]"),
        (gzip(&high), "found 10"),
        (b"<html>moved</html>".to_vec(), "IDX"),
        (gzip(&plain_labels(1000))[..40].to_vec(), "damaged"),
    ];
    for (body, expected) in cases {
        let root = TempDir::new().unwrap();
        let server = Server::start(move |_, _| ok(&body));
        let error = fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(stored(root.path()).len(), 0, "{expected}");
    }
}

#[test]
fn server_errors_are_retried_and_missing_files_are_not() {
    let body = gzip(&plain_labels(1000));
    let root = TempDir::new().unwrap();
    let server = Server::start(move |number, _| match number {
        0 | 1 => reply("500 Internal Server Error", "", b"sorry", 5),
        _ => ok(&body),
    });
    fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap();
    assert_eq!(server.requests().len(), 3);
    for (status, attempts) in [("500 Internal Server Error", 3), ("404 Not Found", 1)] {
        let root = TempDir::new().unwrap();
        let server = Server::start(move |_, _| reply(status, "", b"sorry", 5));
        let error = fetch_labels(root.path(), &[&server.mirror], Digest::Unknown).unwrap_err();
        assert!(error.contains(&status[..3]), "{error}");
        assert_eq!(server.requests().len(), attempts, "{status}");
        assert_eq!(stored(root.path()).len(), 0, "{status}");
    }
}

#[test]
fn no_server_says_where_to_put_which_files() {
    let root = TempDir::new().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mirror = format!("http://{closed}/");
    let source = Source { mirrors: &[&mirror], ..find("mnist").unwrap() };
    let error = fetch(&source, root.path(), RETRY, &mut |_| {}).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    let folder = root.path().join("mnist").display().to_string();
    for part in [mirror.as_str(), &folder, "train-images-idx3-ubyte.gz", LABELS] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn content_that_arrives_decompressed_is_stored_under_its_plain_name() {
    let root = TempDir::new().unwrap();
    let server = Server::start(|_, _| ok(&plain_labels(1000)));
    let digest = sha256(&plain_labels(1000));
    fetch_labels(root.path(), &[&server.mirror], Digest::Contents(&digest)).unwrap();
    assert_eq!(stored(root.path()), ["t10k-labels-idx1-ubyte"]);
    fetch_labels(root.path(), &[&server.mirror], Digest::Contents(&digest)).unwrap();
    assert_eq!(server.requests().len(), 1);
}

/// The CIFAR-10 archive with two records in each batch; the first label of the first batch is `label`.
fn cifar_archive(batches: &[&str], label: u8) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for name in batches.iter().chain([&"readme.html"]) {
        let mut batch = vec![7; 2 * 3073];
        batch[0] = label;
        let mut header = tar::Header::new_gnu();
        header.set_size(batch.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), batch.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn cifar_archive_is_unpacked_and_checked() {
    const BATCHES: [&str; 6] = [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
    ];
    let run = |body: Vec<u8>| {
        let root = TempDir::new().unwrap();
        let server = Server::start(move |_, request| ranged(request, &body));
        let files = [RemoteFile {
            name: "cifar-10-binary.tar.gz",
            kind: Kind::CifarArchive { records: 2 },
            digest: Digest::Unknown,
        }];
        let source = Source { name: "cifar10", folder: "tiny", mirrors: &[&server.mirror], files: &files };
        let first = fetch(&source, root.path(), RETRY, &mut |_| {}).map_err(|e| e.to_string());
        if first.is_ok() {
            fetch(&source, root.path(), RETRY, &mut |_| {}).unwrap();
        }
        (first, stored(root.path()), server.requests().len())
    };
    let (result, names, requests) = run(cifar_archive(&BATCHES, 9));
    result.unwrap();
    assert_eq!(names, BATCHES);
    assert_eq!(requests, 1);
    let (result, ..) = run(cifar_archive(&BATCHES, 10));
    assert!(result.unwrap_err().contains("found 10"));
    let (result, ..) = run(cifar_archive(&BATCHES[..5], 9));
    assert!(result.unwrap_err().contains("test_batch.bin"));
    let (result, ..) = run(b"no archive".to_vec());
    assert!(result.is_err());
}

#[test]
fn unknown_set_lists_the_known_ones() {
    let error = find("cifar-10").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("cifar10"), "{error}");
}
