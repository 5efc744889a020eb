//! A refusal as people read it: the line that caused it, the rule, what is allowed, and who can grant an exception.

use super::own::SHIPPED;
use super::{Admission, Tenant};
use crate::memo::Memo;
use crate::plan::Why;
use crate::target::image_source;
use policy::Denial;
use renderer::rendered::ComponentKind;
use renderer::{Diagnostic, ObjectId, Platform, Rendered, RenderedComponent, Severity, Withheld};

/// Code of the findings.
const CODE: &str = "denied";

/// What admission would refuse: the first reason, and how many there are besides.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) id: ObjectId,
    pub(super) denial: Denial,
    pub(super) more: usize,
}

impl Refusal {
    /// As a hold.
    pub(crate) fn why(&self, rendered: &Rendered, component: &RenderedComponent) -> Why {
        let found = self.diagnostic(rendered, component);
        let at = found.place.map(|at| format!("{}:{}:{}: ", found.file, at.line, at.column)).unwrap_or_default();
        let by = match self.exception() {
            Some(key) => format!("; operators can allow more by `{key}`"),
            None if self.is_shipped() => "; nobody can allow more".to_owned(),
            None => String::new(),
        };
        Why::Denied(format!("{at}{}{by}", found.message))
    }

    fn exception(&self) -> Option<&str> {
        self.denial.exception.as_deref()
    }

    /// Whether the rule is one that every platform has: what it names no setting for, operators can't set either.
    fn is_shipped(&self) -> bool {
        self.denial.policy.starts_with(SHIPPED)
    }

    fn diagnostic(&self, rendered: &Rendered, component: &RenderedComponent) -> Diagnostic {
        let Self { id, denial, more } = self;
        let others = if *more == 0 { String::new() } else { format!(", and {more} more") };
        let hint = match self.exception() {
            Some(key) => format!("Change it, or ask the operators: `{key}` of the platform file can allow more."),
            None if self.is_shipped() => "Change it: no setting of the platform allows more.".to_owned(),
            None => "Change it, or ask the operators, who can change the rule.".to_owned(),
        };
        Diagnostic {
            file: "toolforge.yaml".to_owned(),
            place: rendered.origin(component.name.as_str(), &denial.fields),
            severity: Severity::Error,
            code: CODE.to_owned(),
            message: format!("rule {} refuses {id}: {}{others}", denial.policy, denial.message),
            hint: Some(hint),
            component: Some(component.name.to_string()),
        }
    }
}

/// A finding for each component that admission would refuse, in name order.
pub(super) fn diagnostics(tenant: &mut Tenant<'_>, rendered: &Rendered) -> Vec<Diagnostic> {
    let refused = |component: &RenderedComponent| {
        let image = tenant.stand_in(component, image_source(&component.image))?;
        Some(tenant.refusal(&component.at(&image).0)?.diagnostic(rendered, component))
    };
    rendered.components.iter().filter_map(refused).collect()
}

/// Withholds what admission would refuse of a revision that no cluster is asked about, with a finding for each component.
pub fn withhold(rendered: &mut Rendered, admission: &Admission, platform: &Platform) {
    let (images, memo) = (format!("{}/tool-{}", platform.registry.host, rendered.tool), Memo::default());
    let mut tenant = Tenant::new(admission, &rendered.tool, &rendered.objects, (images, &memo));
    let found = diagnostics(&mut tenant, rendered);
    for finding in &found {
        let named = |component: &RenderedComponent| Some(component.name.as_str()) == finding.component.as_deref();
        let Some(at) = rendered.components.iter().position(named) else { continue };
        let component = rendered.components.remove(at);
        rendered.withheld.push(Withheld {
            component: component.name.to_string(),
            why: finding.message.clone(),
            gates: component.kind == ComponentKind::OneOff,
        });
    }
    rendered.report.diagnostics.extend(found);
    rendered.report.diagnostics.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
}
