//! Which line of `toolforge.yaml` a field of an object comes from: for whoever judges objects, and has to tell people.
//!
//! No field of an object is traced. Almost every one is made by one key of its component, and who objects to an object
//! names the fields he looked at, so a table from field to key is enough: the first key that stands in the file is the
//! place, and where none does, the component itself.

use crate::diagnostic::Place;
use crate::rendered::Rendered;

/// Fields, by their own names, and the keys below a component that make them.
const MADE_BY: &[(&[&str], &[&str])] = &[
    (&["replicas"], &["run.replicas"]),
    (&["image"], &["image", "build"]),
    (&["cpu"], &["run.cpu"]),
    (&["memory"], &["run.memory"]),
    (&["resources", "limits", "requests"], &["run.cpu", "run.memory"]),
    (&["schedule"], &["run.schedule"]),
    (&["env"], &["env"]),
    (&["command", "args"], &["run.command"]),
    (&["ports", "port", "containerPort", "targetPort", "protocol"], &["run.port", "run.port_protocol"]),
    (&["host", "hosts", "hostnames", "path", "paths"], &["run.publish"]),
    (&["Ingress", "HTTPRoute"], &["run.publish"]),
    (&["livenessProbe", "readinessProbe", "startupProbe"], &["run.health_check_http", "run.health_check_script"]),
    (&["volumes", "volumeMounts", "persistentVolumeClaim", "csi"], &["run.mount"]),
    (&["backoffLimit"], &["run.retry"]),
    (&["activeDeadlineSeconds"], &["run.timeout"]),
    (&["ingress", "from"], &["run.allow_from"]),
    (&["jobs.toolforge.org/emails"], &["run.emails"]),
];

impl Rendered {
    /// Where the first of these fields that a key of this component makes has its key; else where the component stands.
    /// None where no file says it, as of an inferred one.
    #[must_use]
    pub fn origin(&self, component: &str, fields: &[String]) -> Option<Place> {
        let of =
            |field: &String| MADE_BY.iter().find(|(made, _)| made.contains(&field.as_str())).map(|(_, keys)| *keys);
        let keys = fields.iter().filter_map(of).flatten();
        let mut places = keys.filter_map(|key| self.places.get(&format!("components.{component}.{key}")));
        places.next().or_else(|| self.places.get(&format!("components.{component}"))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{At, KEYS};

    #[test]
    fn every_key_of_the_table_is_one_of_the_format() {
        for key in MADE_BY.iter().flat_map(|(_, keys)| *keys) {
            let (at, name) = key.strip_prefix("run.").map_or((At::Component, *key), |name| (At::Run, name));
            assert!(KEYS.iter().any(|row| row.at == at && row.name == name), "{key}");
        }
    }
}
