//! Where the key of a private repository stands: in the platform's namespace for the reconciler, and in that of the builds
//! for the step that fetches, under the same name.

use crate::names::{ToolName, is_dns_label};

/// Key of the Secrets, by the type `kubernetes.io/ssh-auth`.
pub const DEPLOY_KEY: &str = "ssh-privatekey";

/// Name of the Secret with a tool's key. No tool's name has a dot.
#[must_use]
pub fn deploy_key_secret(tool: &ToolName) -> String {
    format!("deploy-key.{tool}")
}

/// Name of the Secret with the platform's key for all repositories on a host; none for a host that can't be in a name.
#[must_use]
pub fn host_key_secret(host: &str) -> Option<String> {
    let name = format!("git-key.{host}");
    (name.len() <= 253 && name.split('.').all(|part| is_dns_label(part, 63))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_secret_where_kubernetes_can_name_it() {
        assert_eq!(host_key_secret("gitlab.example").as_deref(), Some("git-key.gitlab.example"));
        for host in ["[::1]", "a_b.example", "", "a..b", &"x.".repeat(130)] {
            assert_eq!(host_key_secret(host), None, "{host}");
        }
    }
}
