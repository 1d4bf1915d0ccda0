//! Codes by mail.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use probity_platform::access::SecretString;
use probity_platform::{Error, Result};

use super::{CodeChannel, CodeMessage};
use crate::SmtpTls;

const SEND_MS: u64 = 10_000;

/// Sends plain-text mail over SMTP.
pub struct SmtpChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpChannel {
    /// Connects when the first code is sent.
    ///
    /// # Errors
    /// `Malformed` for a sender that is no mailbox, a host that TLS cannot check, or a login over plaintext.
    pub fn open(
        host: &str,
        port: u16,
        from: &str,
        tls: SmtpTls,
        login: Option<(&str, &SecretString)>,
    ) -> Result<Self> {
        let from = from
            .parse()
            .map_err(|e| Error::malformed(format!("smtp from: {e}")))?;
        let parameters = || {
            TlsParameters::new(host.to_owned())
                .map_err(|e| Error::malformed(format!("smtp host: {e}")))
        };
        let tls = match tls {
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::None if login.is_some() => {
                return Err(Error::malformed("smtp: a password is not sent without TLS"));
            }
            SmtpTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .timeout(Some(Duration::from_millis(SEND_MS)));
        if let Some((username, password)) = login {
            builder = builder.credentials(Credentials::new(
                username.to_owned(),
                password.expose().to_owned(),
            ));
        }
        Ok(Self {
            transport: builder.build(),
            from,
        })
    }
}

#[async_trait]
impl CodeChannel for SmtpChannel {
    fn name(&self) -> &'static str {
        "smtp"
    }

    async fn send(&self, message: &CodeMessage<'_>) -> Result<()> {
        let to: Mailbox = message
            .destination
            .parse()
            .map_err(|e| Error::internal(format!("recorded mail address: {e}")))?;
        // The code stands in the body alone: subjects show on locked screens and in logs.
        let body = format!(
            "Your code: {}\r\n\r\nIt confirms this instruction and no other:\r\n{}\r\nSHA-256 {}\r\n\r\n\
             It can be used once, until {}. If you did not ask for it, do not pass it on.\r\n",
            message.code.expose(),
            message.summary,
            message.instruction_sha256,
            message.expires_at,
        );
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(format!("Confirmation code for intent {}", message.intent))
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|e| Error::internal(format!("mail: {e}")))?;
        self.transport
            .send(mail)
            .await
            .map(drop)
            .map_err(|e| Error::unavailable(format!("the mail server did not take the code: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Codes;
    use probity_domain::{IntentId, Timestamp};
    use probity_platform::{ErrorKind, SystemRandom};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    /// Takes one mail and answers what came between DATA and the lone dot.
    async fn take_mail(listener: TcpListener) -> String {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = socket.split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"220 test\r\n").await.unwrap();
        let (mut mail, mut in_data) = (String::new(), false);
        while let Some(line) = lines.next_line().await.unwrap() {
            let answer: &[u8] = match (in_data, line.as_str()) {
                (true, ".") => {
                    writer.write_all(b"250 taken\r\n").await.unwrap();
                    return mail;
                }
                (true, _) => {
                    mail.push_str(&line);
                    mail.push('\n');
                    continue;
                }
                (false, "DATA") => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                (false, _) => b"250 fine\r\n",
            };
            writer.write_all(answer).await.unwrap();
        }
        mail
    }

    #[tokio::test]
    async fn the_code_and_what_it_confirms_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = tokio::spawn(take_mail(listener));
        let code = Codes::new(&[1; 32]).unwrap().make(&SystemRandom);
        let message = CodeMessage {
            intent: IntentId::new(Timestamp::from_unix_ms(1), [0; 10]),
            destination: "alice@example.com",
            code: &code,
            summary: "submit 2 captures",
            instruction_sha256: &"ab".repeat(32),
            expires_at: Timestamp::from_unix_ms(2),
        };
        let channel =
            SmtpChannel::open("127.0.0.1", port, "P <p@example.org>", SmtpTls::None, None).unwrap();
        channel.send(&message).await.unwrap();
        let mail = taken.await.unwrap();
        assert!(
            mail.contains(code.expose()) && mail.contains("submit 2 captures"),
            "{mail}"
        );
        // Nobody listens there.
        let channel =
            SmtpChannel::open("127.0.0.1", 1, "P <p@example.org>", SmtpTls::None, None).unwrap();
        assert_eq!(
            channel.send(&message).await.unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }

    #[test]
    fn settings_that_cannot_work() {
        let password = SecretString::new("x".to_owned());
        assert!(SmtpChannel::open("h", 25, "no mailbox", SmtpTls::None, None).is_err());
        assert!(
            SmtpChannel::open("h", 25, "a@b.c", SmtpTls::None, Some(("u", &password))).is_err()
        );
    }
}
