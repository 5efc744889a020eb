//! Where the key of a private repository stands: in the platform's namespace for the reconciler, and in that of the builds
//! for the step that fetches, under the same name. No other step is given it.

use super::Order;
use crate::build::same_repository;
use crate::names::{ToolName, is_dns_label};
use serde_json::{Value, json};

/// Key of the Secrets, by the type `kubernetes.io/ssh-auth`.
pub const DEPLOY_KEY: &str = "ssh-privatekey";
/// Key of the Secrets that says for which host a tool's key was made. Beside the key, not in an annotation: a build's
/// variables can be filled from nothing else.
pub const DEPLOY_KEY_HOST: &str = "host";
/// The variable with the private key of one repository.
pub const SSH_KEY: &str = "TOOLFORGE_GIT_SSH_KEY";
/// The variable with the host that key was made for; where it is unset, it is for any.
pub const SSH_KEY_HOST: &str = "TOOLFORGE_GIT_SSH_KEY_HOST";
/// The variable with the platform's key for the repository's host, where there is none of its own.
pub const HOST_SSH_KEY: &str = "TOOLFORGE_GIT_HOST_SSH_KEY";
/// The variable with lines of `known_hosts`.
pub const KNOWN_HOSTS: &str = "TOOLFORGE_GIT_KNOWN_HOSTS";

/// How names of Secrets with keys begin, before a dot: those of tools, and those for hosts.
pub(crate) const OF_KEYS: [&str; 2] = ["deploy-key", "git-key"];

/// Name of the Secret with a tool's key. No tool's name has a dot.
#[must_use]
pub fn deploy_key_secret(tool: &ToolName) -> String {
    format!("{}.{tool}", OF_KEYS[0])
}

/// Name of the Secret with the platform's key for all repositories on a host; none for a host that can't be in a name.
#[must_use]
pub fn host_key_secret(host: &str) -> Option<String> {
    let name = format!("{}.{host}", OF_KEYS[1]);
    (name.len() <= 253 && name.split('.').all(|part| is_dns_label(part, 63))).then_some(name)
}

/// What the step that fetches has to know where the tool's own repository is read over ssh. A Secret that is not there
/// leaves its variable out, and the step says what is missing.
pub(super) fn environment(order: &Order<'_>) -> Vec<Value> {
    let (source, own) = (&order.request.source.repository, &order.tool.repository);
    let Some((host, port)) = ssh_host(source).filter(|_| same_repository(source, own)) else { return Vec::new() };
    let from = |name: &str, secret: String, key: &str| {
        let from = json!({"name": secret, "key": key, "optional": true});
        json!({"name": name, "valueFrom": {"secretKeyRef": from}})
    };
    let own = deploy_key_secret(&order.tool.name);
    let mut env = vec![from(SSH_KEY, own.clone(), DEPLOY_KEY), from(SSH_KEY_HOST, own, DEPLOY_KEY_HOST)];
    env.extend(host_key_secret(&host).map(|secret| from(HOST_SSH_KEY, secret, DEPLOY_KEY)));
    let known = order.platform.git.iter().flat_map(|git| &git.known_hosts).filter(|known| known.is_of(&host, port));
    let lines: Vec<_> = known.map(ToString::to_string).collect();
    if !lines.is_empty() {
        env.push(json!({"name": KNOWN_HOSTS, "value": lines.join("\n")}));
    }
    env
}

/// Host and port of an address that is read over ssh.
fn ssh_host(url: &str) -> Option<(String, u16)> {
    let url = url.to_ascii_lowercase();
    let authority = match url.split_once("://") {
        Some(("ssh" | "git+ssh" | "ssh+git", rest)) => rest.split('/').next()?,
        Some(_) => return None,
        None => url.split_once(':').map(|(authority, _)| authority).filter(|authority| !authority.contains('/'))?,
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']')) {
        Some((name, port)) => Some((name.to_owned(), port.parse().ok()?)),
        None => Some((host.to_owned(), 22)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_has_two_spellings_and_a_port() {
        for (url, host, port) in [
            ("ssh://git@Host.example/a", "host.example", 22),
            ("ssh://host.example:2222/a", "host.example", 2222),
            ("git@host.example:a/b", "host.example", 22),
            ("ssh://git@[::1]:2222/a", "[::1]", 2222),
        ] {
            assert_eq!(ssh_host(url), Some((host.to_owned(), port)), "{url}");
        }
        for url in ["https://host.example/a", "/srv/a:b", "./a:b", "file:///a", "ssh://host.example:x/a"] {
            assert_eq!(ssh_host(url), None, "{url}");
        }
    }

    #[test]
    fn a_host_has_a_secret_where_kubernetes_can_name_it() {
        assert_eq!(host_key_secret("gitlab.example").as_deref(), Some("git-key.gitlab.example"));
        for host in ["[::1]", "a_b.example", "", "a..b", &"x.".repeat(130)] {
            assert_eq!(host_key_secret(host), None, "{host}");
        }
    }
}
