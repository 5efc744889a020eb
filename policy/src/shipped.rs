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

/// File, policy and examples of each.
pub const SHIPPED: [(&str, &str, &str); 8] =
    shipped!("accounts", "hosts", "images", "labels", "pods", "resources", "services", "volumes");
