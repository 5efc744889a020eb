//! Plain HTTP to this machine, and to nothing else: a registry on loopback, and probes.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::IpAddr;
use tokio::net::TcpStream;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No HTTP.
    #[error("{0}")]
    Hyper(#[from] hyper::Error),
    /// A path or header that can't be sent.
    #[error("{0}")]
    Http(#[from] http::Error),
    /// Not this machine.
    #[error("{0} is not on this machine's loopback")]
    Elsewhere(String),
}

/// A host and port of loopback.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Some((name, port)) = authority.rsplit_once(':') else { return false };
    let name = name.trim_matches(['[', ']']);
    let is_here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_here && port.parse::<u16>().is_ok()
}

/// GET, over a connection of its own.
pub(crate) async fn get(
    authority: &str,
    path: &str,
    headers: &[(String, String)],
) -> Result<Response<Incoming>, HttpError> {
    if !is_loopback(authority) {
        return Err(HttpError::Elsewhere(authority.to_owned()));
    }
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection on loopback ended early");
        }
    });
    let mut request = Request::get(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
}

/// The body, if it is no longer than this.
pub(crate) async fn bounded(body: Incoming, most_bytes: usize) -> Result<Vec<u8>, String> {
    let limited = http_body_util::Limited::new(body, most_bytes);
    let read = limited.collect().await.map_err(|error| format!("the answer can't be read: {error}"))?;
    Ok(read.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_asked() {
        for (authority, here) in [
            ("127.0.0.1:5000", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("localhost", false),
            ("10.0.0.1:5000", false),
            ("localhost.example.org:5000", false),
            ("127.0.0.1.example.org:80", false),
        ] {
            assert_eq!(is_loopback(authority), here, "{authority}");
        }
    }
}
