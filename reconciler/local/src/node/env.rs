//! A container's environment, as its pod describes it: plain values, Secrets, ConfigMaps and the pod's own fields.

use super::status::ADDRESS;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Secret};
use kube::{Api, Client};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads Secrets and ConfigMaps of one namespace.
#[derive(Clone)]
pub(crate) struct Maps {
    client: Client,
    namespace: String,
}

/// Texts and bytes of a Secret or ConfigMap.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

impl Maps {
    pub(crate) fn new(client: &Client, namespace: &str) -> Self {
        Self { client: client.clone(), namespace: namespace.to_owned() }
    }

    /// None where there is no such Secret.
    pub(crate) async fn secret(&self, name: &str) -> Result<Option<Data>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(name).await.map_err(|error| format!("secret {name:?} can't be read: {error}"))?;
        Ok(found.map(|found| found.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()))
    }

    /// None where there is no such ConfigMap.
    pub(crate) async fn config(&self, name: &str) -> Result<Option<Data>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(name).await.map_err(|error| format!("configmap {name:?} can't be read: {error}"))?;
        Ok(found.map(|found| {
            let texts = found.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
            let bytes = found.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
            texts.chain(bytes).collect()
        }))
    }

    async fn needed(&self, is_secret: bool, name: &str, optional: bool) -> Result<Data, String> {
        let (kind, found) =
            if is_secret { ("secret", self.secret(name).await?) } else { ("configmap", self.config(name).await?) };
        match found {
            None if !optional => Err(format!("{kind} {name:?} not found")),
            found => Ok(found.unwrap_or_default()),
        }
    }

    /// The environment of a container. What can't be found is an error in the words of a kubelet.
    pub(crate) async fn environment(
        &self,
        container: &Container,
        pod: &Value,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut env = BTreeMap::new();
        for from in container.env_from.iter().flatten() {
            let prefix = from.prefix.clone().unwrap_or_default();
            let source = match (&from.secret_ref, &from.config_map_ref) {
                (Some(secret), _) => self.needed(true, &secret.name, secret.optional == Some(true)).await?,
                (None, Some(map)) => self.needed(false, &map.name, map.optional == Some(true)).await?,
                (None, None) => continue,
            };
            env.extend(source.into_iter().map(|(key, bytes)| (format!("{prefix}{key}"), text(&bytes))));
        }
        for variable in container.env.iter().flatten() {
            if let Some(value) = self.value(variable, pod, &env).await? {
                env.insert(variable.name.clone(), value);
            }
        }
        Ok(env)
    }

    async fn value(
        &self,
        variable: &EnvVar,
        pod: &Value,
        so_far: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        let Some(from) = &variable.value_from else {
            return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), so_far)));
        };
        let EnvVarSource { secret_key_ref: secret, config_map_key_ref: map, field_ref: field, .. } = from;
        let (is_secret, name, key, optional) = match (secret, map, field) {
            (Some(secret), _, _) => (true, &secret.name, &secret.key, secret.optional),
            (None, Some(map), _) => (false, &map.name, &map.key, map.optional),
            (None, None, Some(field)) => return pod_field(pod, &field.field_path).map(Some),
            (None, None, None) => {
                return Err(format!("{}: where its value comes from is not known here", variable.name));
            }
        };
        let optional = optional == Some(true);
        let data = self.needed(is_secret, name, optional).await?;
        match data.get(key) {
            Some(bytes) => Ok(Some(text(bytes))),
            None if optional => Ok(None),
            None => {
                Err(format!("couldn't find key {key} in {} {name}", if is_secret { "Secret" } else { "ConfigMap" }))
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `fieldRef`.
fn pod_field(pod: &Value, path: &str) -> Result<String, String> {
    let at = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let keyed = |map: &str| {
        let key = path.strip_prefix("metadata.")?.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(at(&format!("/metadata/{map}/{}", key.replace('~', "~0").replace('/', "~1"))))
    };
    match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" | "spec.nodeName" | "spec.serviceAccountName" => {
            Ok(at(&format!("/{}", path.replace('.', "/"))))
        }
        "status.podIP" | "status.hostIP" | "status.podIPs" => Ok(ADDRESS.to_owned()),
        _ => keyed("labels")
            .or_else(|| keyed("annotations"))
            .ok_or_else(|| format!("the field {path} is not known here")),
    }
}

/// `$(NAME)` becomes the variable's value, `$$` a dollar; what is not known stays as it is.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|named| named.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_put_in_where_they_are_known() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in
            [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A$", "$A$"), ("$(A", "$(A"), ("é$(A)", "é1")]
        {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_knows_its_own_fields() {
        let pod = json!({"metadata": {"name": "web-1", "labels": {"a/b": "c"}}});
        let field = |path: &str| pod_field(&pod, path);
        assert_eq!(field("metadata.name"), Ok("web-1".to_owned()));
        assert_eq!(field("metadata.labels['a/b']"), Ok("c".to_owned()));
        assert_eq!(field("status.podIP"), Ok("127.0.0.1".to_owned()));
        assert!(field("spec.containers").is_err());
    }
}
