//! One request, sent on to a pod, and its answer, sent back: as streams, message by message parsed and written anew, so
//! that nothing hides between two requests. Headers that belong to one connection stay on it; who asked for what is said
//! in `X-Forwarded-*`, whatever the client said of that.

use super::page::Page;
use super::table::{Choice, Table};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;

/// A pod on this machine that takes longer to accept a connection does not.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Headers of one connection (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];
const FORWARDED: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];

type Body = BoxBody<Bytes, hyper::Error>;

/// Sends requests on.
#[derive(Clone)]
pub(super) struct Forward {
    table: Arc<RwLock<Table>>,
    port: u16,
    turn: Arc<AtomicUsize>,
}

impl Forward {
    pub(super) fn new(table: Arc<RwLock<Table>>, port: u16) -> Self {
        Self { table, port, turn: Arc::default() }
    }

    pub(super) async fn answer(
        self,
        request: Request<Incoming>,
        from: SocketAddr,
    ) -> Result<Response<Body>, Infallible> {
        Ok(self.forwarded(request, from).await.unwrap_or_else(|page| own(&page)))
    }

    async fn forwarded(&self, mut request: Request<Incoming>, from: SocketAddr) -> Result<Response<Body>, Page> {
        let host = host(&request)?;
        let name = without_port(&host).to_owned();
        let found = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.find(&name, request.uri().path())
        };
        let choice = found.map_err(|why| Page::of(&why, &name, self.port))?;
        let stream = self.connect(&choice).await?;
        let upgrade = upgrade(request.headers());
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        prepare(&mut request, &host, from, self.port, upgrade.as_ref())?;
        let broken = |error: hyper::Error| Page::broken(&choice.service, &error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a pod ended early");
            }
        });
        let mut response = sender.send_request(request).await.map_err(broken)?;
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let (true, Some(client)) = (is_switched, client) {
            let pod = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                if let (Ok(client), Ok(pod)) = tokio::join!(client, pod) {
                    // However it ends, it ends for both.
                    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(pod)).await;
                }
            });
        } else if is_switched {
            return Err(Page::broken(&choice.service, "it switched to a protocol that nobody asked for"));
        }
        let kept = if is_switched { upgrade_of_response(response.headers()) } else { None };
        drop_hops(response.headers_mut());
        if let Some(kept) = kept {
            keep_upgrade(response.headers_mut(), kept);
        }
        Ok(response.map(BodyExt::boxed))
    }

    /// A connection to a pod, each in turn; the next one where one does not accept it.
    async fn connect(&self, choice: &Choice) -> Result<TcpStream, Page> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut why = String::new();
        for step in 0..choice.ports.len() {
            let port = choice.ports[(turn.wrapping_add(step)) % choice.ports.len()];
            match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(("127.0.0.1", port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("port {port}: {error}"),
                Err(_) => why = format!("port {port}: no answer in {} s", CONNECT_WITHIN.as_secs()),
            }
        }
        Err(Page::broken(&choice.service, &why))
    }
}

fn own(page: &Page) -> Response<Body> {
    let body = Full::new(Bytes::from(page.text.clone())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The one host that the request names. What could be read in two ways is refused.
fn host<B>(request: &Request<B>) -> Result<String, Page> {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Page::bad_request("it says its length in two ways"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Page::bad_request("it names two hosts"));
    }
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => first.and_then(|host| host.to_str().ok()).map(str::to_owned),
    };
    named.filter(|host| !host.is_empty() && !host.contains('@')).ok_or_else(|| Page::bad_request("it names no host"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The request as the pod gets it.
fn prepare<B>(
    request: &mut Request<B>,
    host: &str,
    from: SocketAddr,
    port: u16,
    upgrade: Option<&HeaderValue>,
) -> Result<(), Page> {
    // Only the path goes to the pod; the host is in its header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| Page::bad_request("its path can't be read"))?;
    let headers = request.headers_mut();
    drop_hops(headers);
    for name in FORWARDED {
        headers.remove(name);
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Page::bad_request("its host can't be read"));
    headers.insert(header::HOST, value(host)?);
    for (name, text) in [
        ("x-forwarded-for", from.ip().to_string()),
        ("x-forwarded-host", host.to_owned()),
        ("x-forwarded-port", port.to_string()),
        ("x-forwarded-proto", "http".to_owned()),
    ] {
        headers.insert(HeaderName::from_static(name), value(&text)?);
    }
    if let Some(upgrade) = upgrade {
        keep_upgrade(headers, upgrade.clone());
    }
    Ok(())
}

/// A wish to switch to a websocket; other protocols are not passed on.
fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = connection_options(headers).any(|option| option == "upgrade");
    let to = headers.get(header::UPGRADE).filter(|_| asked)?;
    to.as_bytes().eq_ignore_ascii_case(b"websocket").then(|| to.clone())
}

fn upgrade_of_response(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::UPGRADE).cloned()
}

fn keep_upgrade(headers: &mut HeaderMap, upgrade: HeaderValue) {
    headers.insert(header::UPGRADE, upgrade);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|option| option.trim().to_ascii_lowercase())
}

fn drop_hops(headers: &mut HeaderMap) {
    let named: Vec<String> = connection_options(headers).collect();
    for name in HOP_BY_HOP.into_iter().chain(["upgrade"]).chain(named.iter().map(String::as_str)) {
        // What must be there for the message to be understood is nobody's to take away.
        if !matches!(name, "host" | "content-length") {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/x?y=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn headers_of_a_connection_stay_on_it_and_a_client_can_not_say_who_it_is() {
        let mut sent = request(&[
            ("host", "a.localhost:8080"),
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("cookie", "c"),
        ]);
        let host = host(&sent).expect("a host");
        let to = upgrade(sent.headers());
        prepare(&mut sent, &host, SocketAddr::from(([127, 0, 0, 1], 9)), 8080, to.as_ref()).expect("prepared");
        let names: Vec<_> = sent.headers().keys().map(HeaderName::as_str).collect();
        let kept = ["host", "cookie", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
        assert!(kept.iter().all(|name| names.contains(name)) && names.len() == kept.len(), "{names:?}");
        assert_eq!(sent.headers()["x-forwarded-for"], "127.0.0.1");
        assert_eq!(sent.headers()["x-forwarded-host"], "a.localhost:8080");
        assert_eq!(sent.uri(), "/x?y=1");
    }

    #[test]
    fn only_a_websocket_may_switch_the_protocol() {
        let wish = |headers: &[(&str, &str)]| upgrade(request(headers).headers()).is_some();
        assert!(wish(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]));
        assert!(!wish(&[("connection", "upgrade"), ("upgrade", "h2c")]));
        assert!(!wish(&[("upgrade", "websocket")]));
    }

    #[test]
    fn a_request_that_can_be_read_in_two_ways_is_refused() {
        for headers in [
            vec![("host", "a"), ("host", "b")],
            vec![("host", "a"), ("content-length", "3"), ("transfer-encoding", "chunked")],
            vec![],
            vec![("host", "")],
        ] {
            assert!(host(&request(&headers)).is_err(), "{headers:?}");
        }
        assert_eq!(without_port("a.localhost:8080"), "a.localhost");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
