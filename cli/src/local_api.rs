//! Client of a node's local API, for commands and the demo.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A node that answers on this machine.
#[derive(Clone)]
pub struct LocalApi {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl LocalApi {
    /// The node at `address` whose data folder is `data`.
    pub fn open(address: SocketAddr, data: &Path) -> anyhow::Result<Self> {
        let file = data.join(antiphon_node::api::TOKEN_FILE);
        let token = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}; is this the data folder of a running node?",
                file.display()
            )
        })?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            base: format!("http://{address}/v1/"),
            token: token.trim().to_owned(),
            http,
        })
    }

    /// A question.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.finish(request).await
    }

    /// A command with a body.
    pub async fn post<B: Serialize + Sync>(&self, path: &str, body: &B) -> anyhow::Result<()> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        self.finish::<serde_json::Value>(request).await.map(drop)
    }

    async fn finish<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = request
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| {
                format!(
                    "no node answers at {}; start one with `antiphon node`",
                    self.base
                )
            })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.json().await?);
        }
        let problem: serde_json::Value = answer.json().await.unwrap_or_default();
        let text = problem
            .get("error")
            .and_then(|text| text.as_str())
            .unwrap_or("no reason given");
        bail!("the node refused ({status}): {text}")
    }
}
