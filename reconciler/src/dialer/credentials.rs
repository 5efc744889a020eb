//! Who we are to a host.

pub use renderer::secret::Secret;

/// User name and password of basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: Secret,
}

impl Credentials {
    /// Credentials from their parts.
    #[must_use]
    pub fn new(username: impl Into<String>, password: Secret) -> Self {
        Self { username: username.into(), password }
    }

    /// `<PREFIX>_USERNAME` and `<PREFIX>_PASSWORD`, looked up with `variable`; none where no password is set.
    #[must_use]
    pub fn from_env(prefix: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let password = variable(&format!("{prefix}_PASSWORD")).filter(|text| !text.is_empty())?;
        let username = variable(&format!("{prefix}_USERNAME")).unwrap_or_default();
        Some(Self::new(username, Secret::new(password)))
    }

    /// The user name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &Secret {
        &self.password
    }
}
