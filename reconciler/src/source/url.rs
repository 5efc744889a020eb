//! Where a repository is: parsed once, compared in one normal form, printed without userinfo.

mod text;

use self::text::{mask, percent_decoded, tidy};
use crate::dialer::{Credentials, HostPort, Secret};
use renderer::config::hosts::Port;
use renderer::{Tool, ToolName};
use std::fmt;
use std::path::{Path, PathBuf};

/// The schemes we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `git://`
    Git,
    /// `ssh://` and `user@host:path`
    Ssh,
    /// `file://`, an absolute or a relative path
    File,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Git => "git",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Http => Some(80),
            Self::Git => Some(9418),
            Self::Ssh => Some(22),
            Self::File => None,
        }
    }
}

/// Why a text is not a repository URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("repository {text:?}: {why}")]
pub struct BadUrl {
    /// The text, userinfo masked.
    pub text: String,
    /// What was expected, as a fragment.
    pub why: &'static str,
}

/// Two URLs of the same repository have the same key: lower-case host and path, without scheme, userinfo, default
/// port, `.git` and trailing slashes. A local path keeps its case. Where a tool asks with a key of its own, the tool
/// belongs to it: what one is told is not another's to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey(String);

impl RepositoryKey {
    /// The normal form itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address as it is asked: two with one key here get the same answer, credentials aside. Unlike a
/// [`RepositoryKey`] it tells schemes, users and the case of paths apart, so that what http or git:// said is never
/// taken for what https said, nor one user's answer for another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address(String);

impl Address {
    /// The text, without a password.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A repository's address. Its Display and Debug mask userinfo; there is no way to print a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryUrl {
    scheme: Scheme,
    user: Option<String>,
    password: Option<Secret>,
    host: String,
    port: Option<u16>,
    path: String,
    tool: Option<ToolName>,
}

impl RepositoryUrl {
    /// A tool's own repository. Over ssh it is asked with that tool's key.
    ///
    /// # Errors
    /// What is wrong, userinfo masked.
    pub fn of(tool: &Tool) -> Result<Self, BadUrl> {
        let mut url = Self::parse(&tool.repository)?;
        url.tool = (url.scheme == Scheme::Ssh).then(|| tool.name.clone());
        Ok(url)
    }

    /// With whose key it is asked.
    #[must_use]
    pub fn tool(&self) -> Option<&ToolName> {
        self.tool.as_ref()
    }

    /// Parses a URL, an scp-like `user@host:path`, or an absolute path. A relative path is an error here; see
    /// [`RepositoryUrl::parse_in`].
    ///
    /// # Errors
    /// What is wrong, userinfo masked.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl { text: mask(text), why };
        if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(bad("expected a URL without spaces and control characters"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::from_url(scheme, rest, text);
        }
        if text.starts_with('/') {
            return Ok(Self::local(Path::new(text)));
        }
        match text.split_once(':') {
            // What stands before an `@` there could be a password.
            Some((before, path)) if !before.contains('/') && !path.contains('@') => {
                let (user, host) = match before.rsplit_once('@') {
                    Some((user, host)) => (Some(user.to_owned()), host),
                    None => (None, before),
                };
                Self::remote(Scheme::Ssh, user, host, None, path)
                    .ok_or_else(|| bad("expected https, http, git, ssh, file, user@host:path or a path"))
            }
            _ => Err(bad("expected https, http, git, ssh, file, user@host:path or an absolute path")),
        }
    }

    /// Like [`RepositoryUrl::parse`], and a relative path (`./x`, `../x`, `x/y`) is taken from `folder`.
    ///
    /// # Errors
    /// What is wrong, userinfo masked.
    pub fn parse_in(text: &str, folder: &Path) -> Result<Self, BadUrl> {
        let relative = !text.is_empty()
            && !text.starts_with('/')
            && !text.contains("://")
            && (text.starts_with('.') || !text.contains(':'));
        if relative {
            return Ok(Self::local(&folder.join(text)));
        }
        Self::parse(text)
    }

    /// A repository in a folder of this machine.
    #[must_use]
    pub fn local(path: &Path) -> Self {
        Self {
            scheme: Scheme::File,
            user: None,
            password: None,
            host: String::new(),
            port: None,
            path: tidy(path).to_string_lossy().into_owned(),
            tool: None,
        }
    }

    fn from_url(scheme: &str, rest: &str, text: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl { text: mask(text), why };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "git" => Scheme::Git,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            "file" => return Self::from_file(rest).ok_or_else(|| bad("expected file:///path")),
            _ => return Err(bad("expected https, http, git, ssh or file")),
        };
        let parsed = url::Url::parse(&format!("{}://{rest}", scheme.as_str()))
            .map_err(|_| bad("expected scheme://host/path"))?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(bad("expected no query and no fragment"));
        }
        // `https://me:12/secret@host`: to a parser of URLs, a host `me` and a path with a secret in it.
        if parsed.path().contains('@') {
            return Err(bad("expected no `@` after the host, but %40"));
        }
        let user = Some(percent_decoded(parsed.username())).filter(|user| !user.is_empty());
        let host = parsed.host_str().unwrap_or_default();
        // ssh and git servers get the path itself; over http it stays as a URL spells it.
        let path = match scheme {
            Scheme::Ssh | Scheme::Git => percent_decoded(parsed.path()),
            _ => parsed.path().to_owned(),
        };
        let mut url =
            Self::remote(scheme, user, host, parsed.port(), &path).ok_or_else(|| bad("expected scheme://host/path"))?;
        url.password = parsed.password().map(|password| Secret::new(percent_decoded(password)));
        Ok(url)
    }

    fn from_file(rest: &str) -> Option<Self> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        path.starts_with('/').then(|| Self::local(Path::new(&percent_decoded(path))))
    }

    /// None where host or path could be taken for an option by a command, or are empty.
    fn remote(scheme: Scheme, user: Option<String>, host: &str, port: Option<u16>, path: &str) -> Option<Self> {
        let plain = |text: &str| {
            !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~[]:%+".contains(c))
        };
        let good = !host.is_empty()
            && plain(host)
            && (scheme != Scheme::Ssh || user.as_deref().is_none_or(plain))
            && !path.trim_matches('/').is_empty()
            && !path.starts_with('-')
            && !path.chars().any(char::is_control);
        good.then(|| Self {
            scheme,
            user,
            password: None,
            host: host.to_ascii_lowercase(),
            port: port.filter(|port| Some(*port) != scheme.default_port()),
            path: path.to_owned(),
            tool: None,
        })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host, lower-case; empty for a local path.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port in effect; none for a local path.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.or(self.scheme.default_port())
    }

    /// The port where it is not the scheme's own; none over ssh, where it is that of another server than git's over http.
    #[must_use]
    pub fn written_port(&self) -> Option<u16> {
        self.port.filter(|_| self.scheme != Scheme::Ssh)
    }

    /// The port, as `allowed_hosts` tells ports apart.
    #[must_use]
    pub fn named_port(&self) -> Port {
        Port { number: self.port(), usual: self.port.is_none() }
    }

    /// Host and port, for the dialer's rules; none for a local path.
    #[must_use]
    pub fn host_port(&self) -> Option<HostPort> {
        (self.scheme != Scheme::File).then(|| HostPort::new(&self.host, self.port()))
    }

    /// User name in the URL.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Path on the host, as the server gets it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The folder of a local repository.
    #[must_use]
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.scheme == Scheme::File).then(|| PathBuf::from(&self.path))
    }

    /// User name and password, if the URL holds both.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let password = self.password.clone()?;
        Some(Credentials::new(self.user.clone().unwrap_or_default(), password))
    }

    /// The same address without user name and password: what a `toolforge.yaml` may say.
    #[must_use]
    pub fn without_userinfo(&self) -> Self {
        Self { user: None, password: None, ..self.clone() }
    }

    /// The http(s) URL without userinfo; none for other schemes.
    #[must_use]
    pub fn http_url(&self) -> Option<url::Url> {
        matches!(self.scheme, Scheme::Https | Scheme::Http)
            .then(|| url::Url::parse(&self.without_userinfo().to_string()).ok())
            .flatten()
    }

    /// What answers are kept under.
    pub(super) fn address(&self) -> Address {
        let Self { scheme, user, host, port, path, tool, .. } = self;
        // The user comes last: decoded, its name may hold anything.
        let user = user.as_deref().unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let whose = tool.as_ref().map(|tool| format!(" {tool}")).unwrap_or_default();
        Address(format!("{}{whose}\n{host}{port}\n{}\n{user}", scheme.as_str(), path.trim_end_matches('/')))
    }

    /// Whether two addresses are of the same repository, whoever asks.
    #[must_use]
    pub fn is_same_repository(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// What all spellings of a repository have in common, for one who asks: for comparing, never for keeping what one of
    /// them said.
    #[must_use]
    pub fn key(&self) -> RepositoryKey {
        match &self.tool {
            Some(tool) => RepositoryKey(format!("{tool}@{}", self.place())),
            None => RepositoryKey(self.place()),
        }
    }

    fn place(&self) -> String {
        let path = match self.scheme {
            Scheme::Http | Scheme::Https => percent_decoded(&self.path),
            _ => self.path.clone(),
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        if self.scheme == Scheme::File {
            return format!("/{path}");
        }
        let port = self.port.map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}{port}/{}", self.host, path.to_ascii_lowercase().trim_end_matches(".git"))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::File {
            return f.write_str(&self.path);
        }
        write!(f, "{}://", self.scheme.as_str())?;
        if self.user.is_some() || self.password.is_some() {
            f.write_str("***@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.path.trim_start_matches('/'))
    }
}

impl fmt::Debug for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        RepositoryUrl::parse(text).expect("a URL").key().as_str().to_owned()
    }

    #[test]
    fn one_repository_has_one_key_however_it_is_spelt() {
        for same in [
            "https://gitlab.example/Group/Tool.git",
            "https://GitLab.example/group/tool/",
            "http://gitlab.example/group/tool",
            "https://user:secret@gitlab.example:443/group/tool.git/",
            "git@gitlab.example:group/tool.git",
            "ssh://git@gitlab.example:22/group/tool",
            "git://gitlab.example/group/tool",
        ] {
            assert_eq!(key(same), "gitlab.example/group/tool", "{same}");
        }
        assert_eq!(key("https://gitlab.example:8443/a"), "gitlab.example:8443/a");
        assert_eq!(key("/srv/Git/tool.git"), "/srv/Git/tool");
        assert_eq!(key("file:///srv/Git/./x/../tool"), "/srv/Git/tool");
    }

    #[test]
    fn an_answer_is_kept_for_one_scheme_user_port_and_case() {
        let address = |text: &str| RepositoryUrl::parse(text).expect("a URL").address();
        let https = address("https://host.example/Group/tool.git");
        for other in [
            "http://host.example/Group/tool.git",
            "git://host.example/Group/tool.git",
            "https://host.example:8443/Group/tool.git",
            "https://host.example/group/tool.git",
            "https://user:secret@host.example/Group/tool.git",
        ] {
            assert_ne!(address(other), https, "{other}");
        }
        assert_eq!(address("https://HOST.example:443/Group/tool.git/"), https);
        let with_password = address("https://user:secret@host.example/x");
        assert!(!with_password.as_str().contains("secret"));
        assert_ne!(with_password, address("https://other@host.example/x"));
    }

    #[test]
    fn userinfo_is_never_printed() {
        for text in [
            "https://user:secret@host.example/x",
            "https://secret@host.example/x",
            "ftp://user:secret@host.example/x",
            "https://user:secret@host.example/x?y",
            "user:secret@host.example",
            "https://user:pa/secret@host.example/x",
            "ftp://user:pass/@secret@host.example/x",
            "https://user:12/secret@host.example/x",
            "https://user:12\\secret@host.example/x",
            "https://user:12?secret@host.example/x",
            "https://user:12#secret@host.example/x",
            "git://user:12/secret@host.example/x",
            "ssh://user:12/secret@host.example/x",
            "user:12/secret@host.example",
            "https://user:12/x/secret@host.example/x",
            "https://user:secret",
            "https://user:secret/x",
            "https://user:secret%40host.example/x",
            "ftp://user:12/secret%40host.example/x",
            "https://[::1]:secret/x",
            "https://user:se cret@host.example/x",
        ] {
            let said = match RepositoryUrl::parse(text) {
                Ok(url) => format!("{url} {url:?} {}", url.key()),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains("secret") && !said.contains("cret@"), "{said}");
        }
        for text in ["ftp://host.example:8080/x", "https://host.example", "relative/path"] {
            let said = RepositoryUrl::parse(text).expect_err("no repository").to_string();
            assert!(said.contains(text), "nothing is hidden where nothing is secret: {said}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_kept_out_of_the_request_url() {
        let url = RepositoryUrl::parse("https://us%40er:pa%2Fss@host.example/x.git").expect("ok");
        let credentials = url.credentials().expect("credentials");
        assert_eq!(credentials.username(), "us@er");
        assert_eq!(credentials.password().reveal(), "pa/ss");
        assert_eq!(url.without_userinfo().http_url().expect("http").as_str(), "https://host.example/x.git");
    }

    #[test]
    fn what_could_become_an_option_or_another_scheme_is_refused() {
        for bad in [
            "",
            "a b",
            "ext::sh -c x",
            "-oProxyCommand=x:path",
            "ssh://-oProxyCommand=x/path",
            "ssh://-user@host/path",
            "host:-path",
            "https://host",
            "https://host/",
            "https:///path",
            "ftp://host/x",
            "relative/path",
            "https://host/x\ny",
            "ssh://host/x%0ay",
            "git://host/x%00host=other",
        ] {
            assert!(RepositoryUrl::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn relative_paths_are_taken_from_the_given_folder() {
        let folder = Path::new("/srv/config");
        for text in ["../tools/a", "./../tools/a.git", "../tools/a/"] {
            let url = RepositoryUrl::parse_in(text, folder).expect("a path");
            assert_eq!(url.key().as_str(), "/srv/tools/a", "{text}");
        }
        let remote = RepositoryUrl::parse_in("https://host.example/a", folder).expect("a URL");
        assert_eq!(remote.scheme(), Scheme::Https);
    }
}
