//! One file over HTTP into a partial file: a later attempt goes on where an earlier one stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, StatusCode, Uri, header};

use super::Progress;

/// No file of a known set is larger, bytes: a mirror that sends more is broken.
const MAX_FILE: u64 = 1 << 29;
const BUFFER: usize = 1 << 16;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which a connection counts as lost.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an attempt failed.
pub(super) enum Failure {
    /// Worth another attempt at the same mirror: lost connection, server error.
    Passing(String),
    /// This mirror will not serve the file.
    Lasting(String),
    /// The local disk failed: no mirror can help.
    Disk(String),
}

/// An HTTP client for `address`. A server on this machine is never asked through a proxy.
pub(super) fn agent(address: &str) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .http_status_as_error(false)
        // Content coding would decompress the files on the way and make byte ranges meaningless.
        .accept_encoding("identity")
        .user_agent(concat!("bbh/", env!("CARGO_PKG_VERSION")));
    let host = address.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_string));
    if matches!(host.as_deref(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        config = config.proxy(None);
    }
    config.build().into()
}

/// Downloads `address` into `part`, after the bytes that are already there.
pub(super) fn attempt(
    agent: &Agent,
    address: &str,
    part: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<(), Failure> {
    let have = part.metadata().map_or(0, |file| file.len());
    let mut request = agent.get(address);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|e| Failure::Passing(format!("{address}: {e}")))?;
    let Some((start, total)) = range(&response, have) else {
        return refused(&response, address, part, have);
    };
    let mut file = open_at(part, start).map_err(|e| disk(part, &e))?;
    let mut received = start;
    let mut buffer = vec![0; BUFFER];
    // A body shorter than its Content-Length ends in an error, not in a silent end.
    let mut body = response.body_mut().as_reader();
    loop {
        progress(Progress { file: name, received, total });
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) => {
                return Err(Failure::Passing(format!("{address}: broke off after {received} bytes ({e})")));
            }
        };
        received += count as u64;
        if received > MAX_FILE {
            return Err(Failure::Lasting(format!("{address}: expected at most {MAX_FILE} bytes, found more")));
        }
        file.write_all(buffer.get(..count).unwrap_or_default()).map_err(|e| disk(part, &e))?;
    }
    file.sync_all().map_err(|e| disk(part, &e))
}

/// First byte and total length of a successful response; `None` when it is no usable success.
fn range<T>(response: &Response<T>, have: u64) -> Option<(u64, Option<u64>)> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    match response.status() {
        // A decoded body has another length than the header says.
        StatusCode::OK if response.headers().contains_key(header::CONTENT_ENCODING) => Some((0, None)),
        StatusCode::OK => Some((0, length)),
        StatusCode::PARTIAL_CONTENT => {
            let (first, _) = text(header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('-')?;
            (first.parse() == Ok(have)).then_some((have, length.map(|length| have + length)))
        }
        _ => None,
    }
}

/// Turns a response without usable content into a failure, or accepts a part that is already complete.
fn refused<T>(response: &Response<T>, address: &str, part: &Path, have: u64) -> std::result::Result<(), Failure> {
    let status = response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE || status == StatusCode::PARTIAL_CONTENT {
        let range = response.headers().get(header::CONTENT_RANGE);
        if range.is_some_and(|range| range.as_bytes() == format!("bytes */{have}").as_bytes()) {
            return Ok(());
        }
        // The partial file does not fit what the mirror has: start over.
        std::fs::remove_file(part).map_err(|e| disk(part, &e))?;
        return Err(Failure::Passing(format!("{address}: cannot go on after {have} bytes (HTTP {status})")));
    }
    let text = format!("{address}: HTTP {status}");
    let passing =
        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    Err(if passing { Failure::Passing(text) } else { Failure::Lasting(text) })
}

/// Opens the partial file for writing after its first `start` bytes; from the start when that is 0.
fn open_at(part: &Path, start: u64) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(part)?;
    if start == 0 {
        file.set_len(0)?;
    }
    Ok(file)
}

fn disk(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Disk(format!("{}: cannot be written ({error})", path.display()))
}
