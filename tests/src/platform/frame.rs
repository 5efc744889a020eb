//! The platform's own file in its config repository.

use anyhow::Context as _;
use renderer::platform::{Backend, Builds};

use super::{Platform, Route};

impl Platform {
    /// Commits the platform's settings with one more line of spec.
    pub fn commit_setting(&self, line: &str) -> anyhow::Result<()> {
        self.commit_frame(&format!("  {line}\n"))
    }

    /// Commits the platform's settings with more lines.
    pub(super) fn commit_frame(&self, more: &str) -> anyhow::Result<()> {
        self.commit_settings(&platform_yaml(&self.name, Route::Ingress, &self.registry_address()?), more)
    }

    /// Commits the platform's settings with one more line of spec, and so much room in the registry for each tool.
    pub fn commit_quota(&self, quota: &str, line: &str) -> anyhow::Result<()> {
        let frame = platform_yaml(&self.name, Route::Ingress, &self.registry_address()?);
        self.commit_settings(&frame.replace("{host:", &format!("{{quota: {quota}, host:")), &format!("  {line}\n"))
    }

    fn commit_settings(&self, frame: &str, more: &str) -> anyhow::Result<()> {
        self.config.commit(&[("platform.yaml", &format!("{frame}{more}"))]).map(drop)
    }

    /// The platform's settings, as the reconciler reads them.
    pub fn settings(&self) -> anyhow::Result<renderer::Platform> {
        let text = self.config.git(&["show", "main:platform.yaml"])?;
        let (settings, report) = renderer::platform::parse(text.as_bytes(), "platform.yaml");
        settings.with_context(|| format!("{report:?}"))
    }
}

/// Settings of a platform in the namespace `platform-<name>`, with everything else as it is by default. More lines of its
/// spec can follow.
pub fn platform_yaml(name: &str, route: Route, registry: &str) -> String {
    let route = match route {
        Route::Ingress => "{kind: ingress, class: test}",
        Route::Gateway => "{kind: gateway, namespace: default, name: test}",
    };
    format!(
        "apiVersion: toolforge.org/v1alpha1\n\
         kind: Platform\n\
         metadata: {{name: {name}}}\n\
         spec:\n\
         \x20 domain: {name}.example\n\
         \x20 namespace: platform-{name}\n\
         \x20 registry: {{host: \"{registry}\"}}\n\
         \x20 route: {route}\n"
    )
}

/// What operators install for it: with builds, so that a test may turn them on.
pub(super) fn installed(name: &str) -> renderer::Platform {
    let builds = Builds { backend: Backend::Local, at_once: 1, at_once_per_tool: 1, timeout_secs: 1 };
    let (name, namespace) = (name.to_owned(), format!("platform-{name}"));
    renderer::Platform { name, namespace, builds: Some(builds), ..renderer::Platform::builtin() }
}
