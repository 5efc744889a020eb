//! The rules that every platform starts with.

/// Name of the ConfigMap, in the platform's namespace, that holds their parameters.
pub const PARAMS: &str = "toolforge-policy";

macro_rules! shipped {
    ($($name:literal),*) => {
        [$((
            concat!("policy/vap/", $name, ".yaml"),
            include_str!(concat!("../vap/", $name, ".yaml")),
            include_str!(concat!("../vap/", $name, ".cases.yaml")),
        )),*]
    };
}

/// The documents of all of them, as they are written.
pub fn documents() -> impl Iterator<Item = serde_json::Value> {
    SHIPPED.iter().flat_map(|(file, text, _)| {
        let mut findings = crate::problem::Findings { file, problems: Vec::new() };
        crate::read::documents(text, &mut findings).into_iter().map(crate::read::Document::into_value)
    })
}

/// File, policy and examples of each.
pub const SHIPPED: [(&str, &str, &str); 13] = shipped!(
    "accounts",
    "bounds",
    "claims",
    "deployer",
    "endpoints",
    "hosts",
    "images",
    "labels",
    "namespaces",
    "pods",
    "resources",
    "services",
    "volumes"
);
