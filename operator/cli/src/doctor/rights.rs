//! Asks the API server who has which rights, and where.

mod needed;

use anyhow::{Result, anyhow};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

pub use self::needed::{OF_USER, of_operator, of_routes};

/// So many questions are under way at once.
const AT_ONCE: usize = 8;

/// Something that one may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// Such as `certificates`, or `certificates/status`.
    pub resource: &'static str,
    /// Where it is needed.
    pub place: Place,
    /// What it is for.
    pub why: &'static str,
}

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In each namespace where Certificates are looked at.
    LookedAt,
    /// For objects that are of no namespace.
    Cluster,
    /// In the operator's namespace.
    BesideOperator,
    /// In the namespace `default`, where events about objects of no namespace are.
    Default,
}

/// Whether somebody has a right in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The right.
    pub right: Right,
    /// The namespace; none for all of the cluster.
    pub namespace: Option<String>,
    /// Whether they have it.
    pub is_allowed: bool,
}

/// Whose rights are asked for.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// One's own.
    User,
    /// Those of this service account of the operator's namespace.
    Account(&'a str),
}

/// The namespaces that places stand for.
#[derive(Clone, Copy)]
pub struct Namespaces<'a> {
    /// The operator's.
    pub operator: &'a str,
    /// Where Certificates are looked at; in all of them if there is none here.
    pub looked_at: &'a [String],
}

impl Namespaces<'_> {
    /// The namespaces of a place; `None` stands for all of the cluster.
    fn of(self, place: Place) -> Vec<Option<String>> {
        match place {
            Place::Cluster => vec![None],
            Place::BesideOperator => vec![Some(self.operator.to_owned())],
            Place::Default => vec![Some("default".to_owned())],
            Place::LookedAt if self.looked_at.is_empty() => vec![None],
            Place::LookedAt => self.looked_at.iter().cloned().map(Some).collect(),
        }
    }
}

/// Which of `rights` somebody has, each in all of its namespaces.
///
/// # Errors
/// When the API server does not say.
pub async fn held(
    client: &Client,
    rights: &[Right],
    who: Who<'_>,
    namespaces: Namespaces<'_>,
) -> Result<Vec<Held>> {
    let mut questions = Vec::new();
    for right in rights {
        for namespace in namespaces.of(right.place) {
            questions.push(ask(client, *right, namespace, who, namespaces.operator));
        }
    }
    stream::iter(questions).buffered(AT_ONCE).try_collect().await
}

async fn ask(
    client: &Client,
    right: Right,
    namespace: Option<String>,
    who: Who<'_>,
    home: &str,
) -> Result<Held> {
    let attributes = attributes(&right, namespace.as_deref());
    let is_allowed = match who {
        Who::User => is_own(client, attributes).await?,
        Who::Account(name) => is_of_account(client, attributes, home, name).await?,
    };
    Ok(Held {
        right,
        namespace,
        is_allowed,
    })
}

fn attributes(right: &Right, namespace: Option<&str>) -> ResourceAttributes {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    ResourceAttributes {
        verb: Some(right.verb.into()),
        group: Some(right.group.into()),
        resource: Some(resource.into()),
        subresource,
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}

async fn is_own(client: &Client, attributes: ResourceAttributes) -> Result<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let status = api.create(&PostParams::default(), &review).await?.status;
    Ok(status.ok_or_else(no_answer)?.allowed)
}

async fn is_of_account(
    client: &Client,
    attributes: ResourceAttributes,
    namespace: &str,
    name: &str,
) -> Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{name}")),
            // The API server puts every service account into these.
            groups: Some(vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let status = api.create(&PostParams::default(), &review).await?.status;
    Ok(status.ok_or_else(no_answer)?.allowed)
}

fn no_answer() -> anyhow::Error {
    anyhow!("the API server answered no review")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_asked_for_where_it_is_needed() {
        let looked_at = ["bank".to_owned(), "shop".to_owned()];
        let of = |looked_at: &[String], place| {
            let namespaces = Namespaces {
                operator: "sancho-system",
                looked_at,
            };
            namespaces.of(place)
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(of(&looked_at, Place::LookedAt), [named("bank"), named("shop")]);
        assert_eq!(of(&[], Place::LookedAt), [None]);
        assert_eq!(of(&looked_at, Place::Cluster), [None]);
        assert_eq!(of(&looked_at, Place::BesideOperator), [named("sancho-system")]);
        assert_eq!(of(&looked_at, Place::Default), [named("default")]);
    }
}
