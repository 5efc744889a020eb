//! What a registry holds of a tool, and taking from it. Only what has a tag is seen, and what an index lists: no
//! registry tells of manifests without a name.

use super::fault::{At, Doing};
use super::read::Part;
use super::session::Request;
use super::tokens::{Access, Scope};
use super::{MAX_MANIFEST_BYTES, Manifest, Reference, Registry, RegistryError};
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use planner::garbage::{Shelf, Shelved};
use planner::image::{self, Blob, Image};
use renderer::{Digest, ToolName};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Pages have the size the registry likes: some refuse to be asked for more. A list that goes on after so many is a circle.
const MAX_PAGES: usize = 1000;
/// Manifests read at once from one repository.
const AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct Tags {
    /// Registries say null where they mean none.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// Every repository below `host/prefix` that the registry lists, as references without a tag. Registries need not
    /// list any: [`RegistryError::Denied`] or [`RegistryError::Status`] says so.
    ///
    /// # Errors
    /// Where the registry does not list its repositories.
    pub async fn repositories(&self, host: &str, prefix: &str) -> Result<Vec<Reference>, RegistryError> {
        let scope = Scope { registry: host.to_owned(), path: "_catalog".to_owned(), access: Access::Catalog };
        let url = self.url(host, "_catalog")?;
        let pages = self.pages(scope, url, |page: Catalog| page.repositories.unwrap_or_default()).await?;
        let ours = pages.into_iter().filter(|path| path.starts_with(prefix));
        ours.map(|path| Ok(Reference::parse(&format!("{host}/{path}"))?)).collect()
    }

    /// The tags of a repository; none where the registry knows no such repository.
    ///
    /// # Errors
    /// Where the registry did not say.
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<Reference>, RegistryError> {
        let url = self.url(&repository.host, &format!("{}/tags/list", repository.path))?;
        let pages = self.pages(repository.scope(Access::Pull), url, |page: Tags| page.tags.unwrap_or_default()).await;
        let tags = match pages {
            Err(RegistryError::Missing { .. }) => Vec::new(),
            found => found?,
        };
        // Parsed again: a tag becomes part of a URL, and its registry is a stranger.
        tags.iter().map(|tag| Ok(Reference::parse(&format!("{}:{tag}", repository.repository()))?)).collect()
    }

    async fn pages<P: serde::de::DeserializeOwned>(
        &self,
        scope: Scope,
        mut url: Url,
        items: impl Fn(P) -> Vec<String>,
    ) -> Result<Vec<String>, RegistryError> {
        let garbage = |why| RegistryError::Garbage { registry: scope.registry.clone(), why };
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = Request::new(Method::GET, url.clone(), scope.clone()).with("accept", "application/json");
            let response = self.exchange(&request).await?;
            if response.status() != StatusCode::OK {
                let at = At { registry: &scope.registry, path: &scope.path, doing: Doing::Reading };
                return Err(at.refused(&format!("repository {}", scope.path), response).await);
            }
            let next = next_page(&response).map(|link| self.follow(&scope.registry, &url, Some(&link))).transpose()?;
            let body = self.body(response, MAX_MANIFEST_BYTES).await?;
            all.extend(items(serde_json::from_slice(&body).map_err(|_| garbage("with something that is no list"))?));
            match next {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        Err(garbage("with a list without end"))
    }

    /// Everything in some repositories of a tool. What could not be read is told in the shelf.
    pub async fn shelf(&self, tool: &ToolName, repositories: &[Reference]) -> Shelf {
        let mut shelf = Shelf { tool: tool.clone(), images: Vec::new(), unread: Vec::new() };
        for repository in repositories {
            match self.tags(repository).await {
                Ok(tags) => self.look(&tags, &mut shelf).await,
                Err(error) => shelf.unread.push(format!("{}: {error}", repository.repository())),
            }
        }
        shelf
    }

    async fn look(&self, tags: &[Reference], shelf: &mut Shelf) {
        // Collected: a closure over borrowed references, kept across an await, makes the future unfit for `spawn`.
        let looks: Vec<_> = tags.iter().map(|tag| async move { (tag, self.shelved(tag).await) }).collect();
        let mut looks = stream::iter(looks).buffered(AT_ONCE);
        let mut seen: BTreeMap<Digest, Shelved> = BTreeMap::new();
        while let Some((tag, found)) = looks.next().await {
            match found {
                Ok(found) => found.into_iter().for_each(|image| remember(&mut seen, image)),
                Err(error) => shelf.unread.push(format!("{tag}: {error}")),
            }
        }
        shelf.images.extend(seen.into_values());
    }

    /// What a tag stands for, and the parts of it; nothing where it is gone since it was listed.
    async fn shelved(&self, tag: &Reference) -> Result<Vec<Shelved>, RegistryError> {
        let Some(manifest) = self.manifest_of(tag).await? else { return Ok(Vec::new()) };
        let parts = manifest.parts().map_err(|why| tag.no_image(why))?;
        let mut first = match &parts {
            None => self.one(tag, &manifest).await?,
            Some(parts) => index(tag, &manifest, parts),
        };
        first.tags.insert(tag.tag.clone());
        let mut all = vec![first];
        for part in parts.into_iter().flatten() {
            let part = tag.pinned(part.digest);
            // A part may be missing: some images are copied for one kind of machine.
            if let Some(manifest) = self.manifest_of(&part).await? {
                all.push(self.one(&part, &manifest).await?);
            }
        }
        Ok(all)
    }

    async fn one(&self, at: &Reference, manifest: &Manifest) -> Result<Shelved, RegistryError> {
        let (config, layers) = image::blobs(&manifest.bytes).map_err(|why| at.no_image(why))?;
        // A signature's configuration has no date, and need not be that of an image.
        let bytes = self.small_blob(at, &config).await?;
        let created = Image::read(&manifest.bytes, &bytes).ok().and_then(|image| image::created(&image));
        let own = Blob { digest: manifest.digest.clone(), size_bytes: manifest.bytes.len() as u64 };
        Ok(Shelved {
            repository: at.repository(),
            digest: manifest.digest.clone(),
            tags: BTreeSet::new(),
            created,
            blobs: [own, config].into_iter().chain(layers).collect(),
            parts: Vec::new(),
        })
    }

    /// Deletes a manifest, with all of its tags; false where it was gone already. Its layers go when the registry
    /// collects its garbage.
    ///
    /// # Errors
    /// Where the registry does not delete it.
    pub async fn delete(&self, repository: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.url(&repository.host, &format!("{}/manifests/{digest}", repository.path))?;
        let response = self.exchange(&Request::new(Method::DELETE, url, repository.scope(Access::Delete))).await?;
        if matches!(response.status(), StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(true);
        }
        match repository.at(Doing::Deleting).refused(&format!("image {digest}"), response).await {
            RegistryError::Missing { .. } => Ok(false),
            error => Err(error),
        }
    }
}

fn index(at: &Reference, manifest: &Manifest, parts: &[Part]) -> Shelved {
    Shelved {
        repository: at.repository(),
        digest: manifest.digest.clone(),
        tags: BTreeSet::new(),
        created: None,
        blobs: vec![Blob { digest: manifest.digest.clone(), size_bytes: manifest.bytes.len() as u64 }],
        parts: parts.iter().map(|part| part.digest.clone()).collect(),
    }
}

fn remember(seen: &mut BTreeMap<Digest, Shelved>, image: Shelved) {
    match seen.get_mut(&image.digest) {
        Some(known) => known.tags.extend(image.tags),
        None => drop(seen.insert(image.digest.clone(), image)),
    }
}

/// `Link: </v2/…>; rel="next"`.
fn next_page(response: &reqwest::Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().ok()?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| target.to_owned())
}
