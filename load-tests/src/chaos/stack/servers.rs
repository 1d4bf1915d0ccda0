//! NATS, Redis and MinIO.

use std::path::Path;

use probity_platform::bus::{Bus, BusConfig};
use probity_testkit::{TcpProxy, tool};

use crate::Failure;

use super::{ROLES, SetUp, Stack, text, until, until_open};

impl Stack {
    /// The bus as a role has it; with another seed if one is given.
    pub async fn bus(&self, role: &str, seed: Option<&Path>) -> Result<Bus, Failure> {
        let config = std::fs::read_to_string(self.config(role)).map_err(Failure::new)?;
        let mut config: toml::Table = config.parse().map_err(Failure::new)?;
        let nats = config
            .get_mut("nats")
            .and_then(|section| section.as_table_mut());
        let nats = nats.ok_or_else(|| Failure::new("no [nats] section"))?;
        if let Some(seed) = seed {
            nats.insert("nkey_file".to_owned(), text(seed).into());
        }
        let nats: BusConfig = nats.clone().try_into().map_err(Failure::new)?;
        Bus::connect(&nats, role).await.map_err(Failure::new)
    }

    pub(super) async fn start_servers(&mut self, set_up: &SetUp) -> Result<(), Failure> {
        let secret = |name: &str| {
            let path = self.dir.join("secret").join(name);
            std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(Failure::new)
        };
        let minio_environment = [
            ("MINIO_ROOT_USER", secret("s3-access-key")?),
            ("MINIO_ROOT_PASSWORD", secret("s3-secret-key")?),
            ("MINIO_BROWSER", "off".to_owned()),
            ("MINIO_UPDATE", "off".to_owned()),
            ("MINIO_CI_CD", "on".to_owned()),
        ];
        let minio = [
            "server",
            "--quiet",
            "--address",
            &format!("127.0.0.1:{}", self.minio_port),
            &text(&self.dir.join("minio")),
        ]
        .map(str::to_owned);
        self.launch(
            "minio",
            tool("minio"),
            &minio,
            minio_environment.map(|(name, value)| (name.to_owned(), value)),
            None,
        )?;
        let redis = [
            "--bind",
            "127.0.0.1",
            "--port",
            &self.redis_port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
            "--dir",
            &text(&self.dir),
        ]
        .map(str::to_owned);
        self.launch("redis", tool("redis-server"), &redis, [], None)?;
        self.start_nats(set_up).await?;
        let live = format!("{}/minio/health/cluster", self.minio_url());
        until("minio answers", async || {
            reqwest::get(&live)
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        until_open("redis", self.redis_port).await
    }

    async fn start_nats(&mut self, set_up: &SetUp) -> Result<(), Failure> {
        let nodes = if set_up.cluster { 3 } else { 1 };
        let mut spare = |what: &str| -> Vec<u16> {
            let names = (0..nodes).map(|node| format!("nats-{node} {what}"));
            names.map(|name| self.ports.spare(&name)).collect()
        };
        let (client_ports, route_ports) = (spare("clients"), spare("routes"));
        let monitor_ports = spare("monitor");
        let users = std::fs::read_to_string(self.dir.join("config/nats-permissions.conf"))
            .map_err(Failure::new)?;
        let all = client_ports.iter().zip(&route_ports).zip(&monitor_ports);
        for (node, ((client, route), monitor)) in all.enumerate() {
            let name = format!("nats-{node}");
            let store = text(&self.nats_store(&name));
            let mut config = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: 1MB\n\
                 jetstream {{ store_dir: \"{store}\", max_mem: 256MB, max_file: 8GB }}\n{users}\n"
            );
            if set_up.cluster {
                let routes: Vec<String> = route_ports
                    .iter()
                    .map(|port| format!("\"nats://127.0.0.1:{port}\""))
                    .collect();
                config += &format!(
                    "cluster {{ name: chaos, listen: \"127.0.0.1:{route}\", routes: [{}], no_advertise: true }}\n",
                    routes.join(", ")
                );
            }
            let file = self.dir.join("config").join(format!("{name}.conf"));
            std::fs::write(&file, config).map_err(Failure::new)?;
            let arguments = ["--config".to_owned(), text(&file)];
            // In full: with js-enabled-only it says nothing of a stream that a full disk has frozen, which only a restart helps.
            let liveness = format!("http://127.0.0.1:{monitor}/healthz");
            self.launch(&name, tool("nats-server"), &arguments, [], Some(liveness))?;
        }
        for client in &client_ports {
            until_open("nats-server", *client).await?;
        }
        if set_up.cluster {
            let urls: Vec<String> = client_ports
                .iter()
                .map(|port| format!("nats://127.0.0.1:{port}"))
                .collect();
            let single = format!("url = \"nats://127.0.0.1:{}\"", self.ports.of("nats")?);
            let cluster = format!("url = \"{}\"\nreplicas = 3", urls.join(","));
            for role in ROLES {
                let config = std::fs::read_to_string(self.config(role)).map_err(Failure::new)?;
                std::fs::write(self.config(role), config.replace(&single, &cluster))
                    .map_err(Failure::new)?;
            }
        } else if let [only] = client_ports.as_slice() {
            self.nats_line = Some(TcpProxy::start(self.ports.of("nats")?, *only).await);
        }
        Ok(())
    }
}
