//! gix's http transport, on our pooled client.
//!
//! gix writes a request and then reads its answer, on one blocking thread; the client is asynchronous. So a request is
//! collected while it is written, sent at the first read, and its answer streamed from there.

use super::{Endpoint, Watch, lock};
use crate::dialer::{self, Ask, DialError};
use crate::source::{SourceError, ls_refs};
use gix::error::ErrorExt as _;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http::{
    self as gix_http, GetResponse, PostBodyDataKind, PostResponse,
};
use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex};
use url::Url;

pub(super) fn connect(endpoint: Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    let Some(base) = &endpoint.base else {
        return Err(SourceError::Corrupt { why: format!("{} is no http address", endpoint.url) });
    };
    let url = gix::url::parse(base.as_str())
        .map_err(|_| SourceError::Corrupt { why: format!("{} is no address that git understands", endpoint.url) })?;
    let http = Http { endpoint, watch: watch.clone() };
    Ok(Box::new(gix_http::Transport::new_http(http, url, Protocol::V2, false)))
}

#[derive(Clone)]
struct Http {
    endpoint: Endpoint,
    watch: Arc<Watch>,
}

impl Http {
    fn exchange(
        &self,
        method: http::Method,
        url: &str,
        headers: Vec<(&'static str, String)>,
        body: Option<Vec<u8>>,
    ) -> io::Result<reqwest::Response> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let plain = self.endpoint.url.http_url();
        let same_host = plain.is_some_and(|plain| plain.origin() == url.origin());
        let ask = Ask {
            headers,
            credentials: self.endpoint.credentials.as_ref().filter(|_| same_host),
            body,
            timeout: Some(self.watch.left()),
            ..Ask::default()
        };
        let response = self
            .endpoint
            .runtime
            .block_on(self.endpoint.dialer.send(method, &url, ask))
            .map_err(|error| self.watch.fail(error.into()))?;
        if !response.status().is_success() {
            let refused = ls_refs::refusal(&self.endpoint.url, response.status());
            return Err(self.watch.fail(refused));
        }
        Ok(response)
    }

    fn answer(&self, response: reqwest::Response) -> (Vec<u8>, Body) {
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.extend_from_slice(b": ");
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        let body = Body {
            runtime: self.endpoint.runtime.clone(),
            watch: self.watch.clone(),
            response: Some(response),
            chunk: bytes::Bytes::new(),
        };
        (headers, body)
    }
}

/// gix gives header lines; names must be static for [`Ask`], and only these matter to a git server.
fn header_lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    for line in lines {
        let Some((name, value)) = line.as_ref().split_once(':') else {
            continue;
        };
        let known =
            ["git-protocol", "content-type", "accept"].into_iter().find(|known| name.eq_ignore_ascii_case(known));
        if let Some(name) = known {
            headers.push((name, value.trim().to_owned()));
        }
    }
    headers
}

impl gix_http::Http for Http {
    type Headers = LateHeaders;
    type ResponseBody = LateBody;
    type PostBody = Upload;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<LateHeaders, LateBody>> {
        let response =
            self.exchange(http::Method::GET, url, header_lines(headers), None).map_err(|error| error.raise())?;
        let (headers, body) = self.answer(response);
        Ok(GetResponse { headers: LateHeaders::Here(Cursor::new(headers)), body: LateBody::Here(body) })
    }

    /// gix writes the request after this returned, and reads the headers when it is done writing: so the request is
    /// sent at the first read.
    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<LateHeaders, LateBody, Upload>> {
        let exchange = Arc::new(Mutex::new(Exchange {
            http: self.clone(),
            url: url.to_owned(),
            headers: header_lines(headers),
            upload: Vec::new(),
            body: None,
        }));
        Ok(PostResponse {
            post_body: Upload(exchange.clone()),
            headers: LateHeaders::Late(exchange.clone()),
            body: LateBody::Late(exchange),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }
}

/// A POST between its first written byte and its first read one.
pub(super) struct Exchange {
    http: Http,
    url: String,
    headers: Vec<(&'static str, String)>,
    upload: Vec<u8>,
    body: Option<Body>,
}

impl Exchange {
    fn send(&mut self) -> io::Result<Vec<u8>> {
        let response = self.http.exchange(
            http::Method::POST,
            &self.url,
            std::mem::take(&mut self.headers),
            Some(std::mem::take(&mut self.upload)),
        )?;
        let (headers, body) = self.http.answer(response);
        self.body = Some(body);
        Ok(headers)
    }
}

pub(super) struct Upload(Arc<Mutex<Exchange>>);

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).upload.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) enum LateHeaders {
    Late(Arc<Mutex<Exchange>>),
    Here(Cursor<Vec<u8>>),
}

impl LateHeaders {
    fn here(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if let Self::Late(exchange) = self {
            let headers = lock(exchange).send()?;
            *self = Self::Here(Cursor::new(headers));
        }
        match self {
            Self::Here(headers) => Ok(headers),
            Self::Late(_) => Err(io::Error::other("headers before their request")),
        }
    }
}

impl Read for LateHeaders {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(buffer)
    }
}

impl BufRead for LateHeaders {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.here()?.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Self::Here(headers) = self {
            headers.consume(bytes);
        }
    }
}

pub(super) enum LateBody {
    Late(Arc<Mutex<Exchange>>),
    Here(Body),
}

impl LateBody {
    fn here(&mut self) -> io::Result<&mut Body> {
        if let Self::Late(exchange) = self {
            let body = lock(exchange).body.take();
            *self = Self::Here(body.ok_or_else(|| io::Error::other("a body before its headers"))?);
        }
        match self {
            Self::Here(body) => Ok(body),
            Self::Late(_) => Err(io::Error::other("a body before its headers")),
        }
    }
}

impl Read for LateBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(buffer)
    }
}

impl BufRead for LateBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.here()?.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Self::Here(body) = self {
            body.consume(bytes);
        }
    }
}

pub(super) struct Body {
    runtime: tokio::runtime::Handle,
    watch: Arc<Watch>,
    response: Option<reqwest::Response>,
    chunk: bytes::Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let bytes = available.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            let Some(response) = &mut self.response else {
                break;
            };
            match self.runtime.block_on(response.chunk()) {
                Ok(Some(chunk)) => {
                    self.watch.received(chunk.len())?;
                    self.chunk = chunk;
                }
                Ok(None) => self.response = None,
                Err(error) => {
                    let why: DialError = dialer::explain(&error, response.url(), self.watch.left());
                    return Err(self.watch.fail(why.into()));
                }
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, bytes: usize) {
        bytes::Buf::advance(&mut self.chunk, bytes);
    }
}
