//! What can go wrong with a bucket, and what to do then. A store's answer is shortened to its code and
//! message: the rest may hold what a request was signed with.

use std::sync::OnceLock;

use crate::Cause;

/// Why something could not be done with a bucket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error("could not connect to the bucket `{bucket}`: {advice}")]
    Settings {
        /// The bucket.
        bucket: String,
        /// What is wrong and what to do.
        advice: String,
        /// The cause, if there is another one.
        #[source]
        source: Option<Cause>,
    },
    /// An object is not the one that was listed.
    #[error("`s3://{bucket}/{key}` changed")]
    Changed {
        /// The bucket.
        bucket: String,
        /// The object.
        key: String,
    },
    /// An answer ended before its end.
    #[error("an answer of the store is shorter than what was asked for")]
    Short,
    /// A file that is to be an object cannot be read.
    #[error("could not read what is to be the object `{key}`")]
    File {
        /// The object.
        key: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A request failed.
    #[error("could not {action} `s3://{bucket}/{key}`{advice}")]
    Request {
        /// What was tried.
        action: &'static str,
        /// The bucket.
        bucket: String,
        /// The object, or what all keys begin with.
        key: String,
        /// What to do, after a colon; may be empty.
        advice: &'static str,
        /// What the store or the network said.
        #[source]
        source: Cause,
    },
}

/// Makes errors of what the library says.
pub(super) struct Failures {
    bucket: String,
    secrets: OnceLock<Vec<String>>,
}

impl Failures {
    pub(super) fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            secrets: OnceLock::new(),
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// From now on these are taken out of messages.
    pub(super) fn hide(&self, secrets: Vec<String>) {
        // The first ones stay: those of a machine change, but are never in an address.
        let _ = self.secrets.set(secrets);
    }

    pub(super) fn settings(&self, advice: impl Into<String>) -> Error {
        Error::Settings {
            bucket: self.bucket.clone(),
            advice: advice.into(),
            source: None,
        }
    }

    pub(super) fn start(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::Settings {
            bucket: self.bucket.clone(),
            advice: "the client does not start".to_owned(),
            source: Some(self.cause(error)),
        }
    }

    pub(super) fn refused(&self, advice: String, error: &object_store::Error) -> Error {
        Error::Settings {
            bucket: self.bucket.clone(),
            advice,
            source: Some(self.cause(error)),
        }
    }

    pub(super) fn late(&self, key: &str) -> Error {
        Error::Request {
            action: "write",
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            advice: "",
            source: Cause::message("the store does not answer"),
        }
    }

    pub(super) fn of(&self, action: &'static str, key: &str, error: &object_store::Error) -> Error {
        use object_store::Error as Store;
        let bucket = self.bucket.clone();
        let key = key.to_owned();
        let text = chain(error);
        let advice = match error {
            _ if text.contains("NoSuchBucket") => {
                ": there is no such bucket here (AWS_ENDPOINT_URL and AWS_REGION say where)"
            }
            Store::NotFound { .. } | Store::Precondition { .. } if action == "read" => {
                return Error::Changed { bucket, key };
            }
            Store::PermissionDenied { .. } => {
                ": the credentials do not allow it (listing, reading, writing and removing are needed)"
            }
            Store::Unauthenticated { .. } => ": the credentials are not accepted",
            Store::NotImplemented { .. } => {
                ": the store must know conditional writes (AWS_CONDITIONAL_PUT switches them off)"
            }
            _ if text.contains("redirect") => ": is the bucket in another region (AWS_REGION)?",
            _ if text.contains("InvalidAccessKeyId") || text.contains("SignatureDoesNotMatch") => {
                ": the credentials are not accepted"
            }
            _ => "",
        };
        let source = self.cause(error);
        Error::Request {
            action,
            bucket,
            key,
            advice,
            source,
        }
    }

    fn cause(&self, error: &(dyn std::error::Error + 'static)) -> Cause {
        Cause::new(error, &|text| {
            let mut text = shorten(text);
            for secret in self.secrets.get().into_iter().flatten() {
                text = conda::credentials::hide(&text, secret);
            }
            text
        })
    }
}

/// Whether an answer "not found" means the bucket.
pub(super) fn is_about_bucket(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).contains("NoSuchBucket")
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text.extend([&error.to_string(), "\n"]);
        next = error.source();
    }
    text
}

/// Of an answer in XML only the code and the message stay.
fn shorten(text: &str) -> String {
    let Some(start) = text.find("<?xml").or_else(|| text.find("<Error")) else {
        return text.to_owned();
    };
    let (head, answer) = text.split_at(start);
    let part = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.trim())
    };
    let parts: Vec<_> = ["Code", "Message"].into_iter().filter_map(part).collect();
    format!("{}{}", head, parts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_shortened_to_what_helps() {
        let text = concat!(
            "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?><Error>",
            "<Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message>",
            "<AWSAccessKeyId>AKIA</AWSAccessKeyId><StringToSign>secret</StringToSign></Error>"
        );
        assert_eq!(
            shorten(text),
            "Server returned non-2xx status code: 403 Forbidden: SignatureDoesNotMatch: It does not match."
        );
        assert_eq!(shorten("plain"), "plain");
        assert_eq!(shorten("<Error><Code>x"), "");
    }

    #[test]
    fn secrets_are_in_no_message() {
        let failures = Failures::new("bucket");
        failures.hide(vec!["hush".to_owned()]);
        let error = object_store::Error::Generic {
            store: "S3",
            source: "the token hush is wrong".into(),
        };
        let error = failures.of("read", "a/b", &error);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains("s3://bucket/a/b"), "{text}");
    }
}
