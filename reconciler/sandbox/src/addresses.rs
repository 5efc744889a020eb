//! Cluster addresses of Services: 10.96.0.0/16, each given once, the next one after the last.

use crate::store::{Change, Store};
use crate::value::{self, Object};
use serde_json::json;
use std::collections::BTreeSet;

/// Which addresses are taken, by their last two bytes.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// None until somebody asks: reading every Service is not for every start.
    taken: Option<BTreeSet<u16>>,
    last: u16,
}

impl Addresses {
    /// Gives a new Service its address, unless it has none or brings its own.
    pub(crate) fn fill_in(&mut self, object: &mut Object, store: &Store) {
        let wanted = value::text(object, "spec.clusterIP").to_owned();
        if value::text(object, "spec.type") == "ExternalName" {
            return;
        }
        let address = if wanted.is_empty() { self.next(store) } else { wanted };
        let spec = value::child(object, "spec");
        spec.entry("ipFamilies").or_insert(json!(["IPv4"]));
        spec.entry("ipFamilyPolicy").or_insert(json!("SingleStack"));
        spec.insert("clusterIPs".to_owned(), json!([address]));
        spec.insert("clusterIP".to_owned(), json!(address));
    }

    /// Keeps up with what was stored and removed.
    pub(crate) fn note(&mut self, changes: &[Change]) {
        let Some(taken) = &mut self.taken else { return };
        for change in changes {
            let (Change::Put(entry) | Change::Removed(entry)) = change;
            if entry.key.kind != "Service" {
                continue;
            }
            match (number(&entry.object()), change) {
                (Some(number), Change::Put(_)) => taken.insert(number),
                (Some(number), Change::Removed(_)) => taken.remove(&number),
                (None, _) => false,
            };
        }
    }

    fn next(&mut self, store: &Store) -> String {
        let all = || store.range("Service", None).filter_map(|entry| number(&entry.object())).collect();
        let taken = self.taken.get_or_insert_with(all);
        // The first and last addresses of the range belong to nobody; 65,000 Services are more than a sandbox holds.
        let behind = (self.last.saturating_add(1)..u16::MAX).chain(1..=self.last);
        self.last = behind.into_iter().find(|one| !taken.contains(one)).unwrap_or(self.last);
        let [high, low] = self.last.to_be_bytes();
        format!("10.96.{high}.{low}")
    }
}

fn number(service: &Object) -> Option<u16> {
    let (high, low) = value::text(service, "spec.clusterIP").strip_prefix("10.96.")?.split_once('.')?;
    Some(u16::from_be_bytes([high.parse().ok()?, low.parse().ok()?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn made(addresses: &mut Addresses, store: &mut Store, name: &str) -> String {
        let mut object = value::object(json!({"metadata": {"name": name, "uid": name}, "spec": {}}));
        addresses.fill_in(&mut object, store);
        let address = value::text(&object, "spec.clusterIP").to_owned();
        store.put(Key::new("Service", "a", name), object);
        addresses.note(&store.take_changes());
        address
    }

    #[test]
    fn an_address_is_given_once_and_again_after_its_service_is_gone() {
        let (mut addresses, mut store) = (Addresses::default(), Store::default());
        assert_eq!(made(&mut addresses, &mut store, "one"), "10.96.0.1");
        assert_eq!(made(&mut addresses, &mut store, "two"), "10.96.0.2");
        let mut again = Addresses::default();
        assert_eq!(made(&mut again, &mut store, "three"), "10.96.0.3", "after a restart");
        store.remove(&Key::new("Service", "a", "two"));
        again.note(&store.take_changes());
        again.last = 0;
        assert_eq!(made(&mut again, &mut store, "four"), "10.96.0.2");
    }
}
