//! A tiny HTTP server on loopback whose replies a test chooses.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    /// First byte of `Range: bytes=N-`.
    pub from: Option<usize>,
}

/// A server on loopback: one reply per connection, chosen by the number of the request and its content.
pub struct Server {
    pub mirror: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(reply: impl Fn(usize, &Request) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        // The thread ends with the test process; it waits in accept and holds nothing else.
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                log.lock().unwrap().push(request.clone());
                stream.write_all(&reply(number, &request)).unwrap();
            }
        });
        Self { mirror, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
    let mut from = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = Some(range.trim_end_matches('-').parse().unwrap());
        }
    }
    Request { path, from }
}

/// A reply whose Content-Length is that of `body`, though only `sent` bytes of it follow.
pub fn reply(status: &str, headers: &str, body: &[u8], sent: usize) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(&body[..sent]);
    bytes
}

pub fn ok(body: &[u8]) -> Vec<u8> {
    reply("200 OK", "", body, body.len())
}

/// The reply of a server that knows ranges.
pub fn ranged(request: &Request, body: &[u8]) -> Vec<u8> {
    match request.from {
        None => ok(body),
        Some(from) if from >= body.len() => {
            reply("416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", body.len()), &[], 0)
        }
        Some(from) => {
            let header = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
            reply("206 Partial Content", &header, &body[from..], body.len() - from)
        }
    }
}
