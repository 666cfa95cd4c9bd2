//! Letters and webhooks as they arrive: at a real mail server, and at a receiver that checks signatures
//! with the Standard Webhooks library of another language.

use std::time::Duration;

use serde_json::json;
use wedding_photo_processor::clock;
use wedding_photo_processor::deliver::wire::{MailOptions, SecretText, Wire, WireOptions};
use wedding_photo_processor::deliver::{Call, Courier as _, Mail, Notice, Undelivered};
use wedding_photo_processor::job::JobKey;
use wedding_photo_processor::letter::{Letter, samples};

use crate::support::mail::{Mailbox, wait_for};
use crate::support::stores::service;

fn wire(smtp_url: &str) -> Wire {
    let options = WireOptions {
        mail: Some(MailOptions {
            smtp_url: SecretText(smtp_url.to_owned()),
            from: "Zoë's Photos <photos@example.com>".to_owned(),
            reply_to: Some("studio@example.com".to_owned()),
            has_feedback: true,
        }),
        webhook_secret: Some(SecretText(service("TEST_WEBHOOK_SECRET"))),
        allow_private: true,
        ..WireOptions::default()
    };
    Wire::new(&options, clock::system).unwrap()
}

fn relay() -> String {
    format!("{}?tls=none", service("TEST_SMTP_PLAIN"))
}

fn letter(name: &str) -> Letter {
    let mut all = samples::all().into_iter();
    all.find(|(sample, _)| *sample == name).unwrap().1
}

fn job() -> JobKey {
    let event = "smith-jones_2026.".repeat(7);
    format!("{event}/{:032x}", 7).parse().unwrap()
}

async fn send(wire: &Wire, to: &str, letter: &Letter) -> Result<(), Undelivered> {
    let mail = Mail {
        id: format!("{:032x}", rand::random::<u128>()),
        to: to.to_owned(),
        job: job(),
        letter: letter.clone(),
        addressee: None,
        unsubscribe: None,
    };
    wire.deliver(&Notice::Mail(mail)).await
}

#[tokio::test]
async fn letters_arrive_as_they_were_written_by_starttls_by_tls_and_by_a_relay() {
    let ways = [
        (service("TEST_SMTP_STARTTLS"), "starttls", true),
        (service("TEST_SMTPS"), "smtps", true),
        (relay(), "relay", false),
    ];
    for (url, port, tls) in ways {
        let wire = wire(&url);
        for name in [
            "ready-three",
            "ready-hostile",
            "ready-hebrew",
            "ready-german",
            "alert",
        ] {
            let to = Mailbox::address("ok");
            let letter = letter(name);
            send(&wire, &to, &letter).await.unwrap();
            let received = wait_for(1, Duration::from_secs(10), || Mailbox::received(&to)).await;
            assert_eq!(received.len(), 1);
            let envelope = &received[0].envelope;
            assert_eq!(
                (&envelope["port"], &envelope["tls"]),
                (&json!(port), &json!(tls))
            );
            assert_eq!(envelope["mail_from"], "photos@example.com");
            // Relays send those away who say that they are `localhost` or an address, as this one does.
            assert_eq!(envelope["ehlo"], "example.com");
            let message = received[0].message();
            assert_eq!(message.subject, letter.subject, "{name}");
            assert_eq!(message.from, "Zoë's Photos <photos@example.com>");
            assert_eq!(
                (message.to, message.reply_to),
                (vec![to], vec!["studio@example.com".to_owned()])
            );
            assert!(message.id.ends_with("@example.com"), "{}", message.id);
            assert_eq!(message.auto_submitted.as_deref(), Some("auto-generated"));
            let age = jiff::Timestamp::now().duration_since(message.date);
            assert!(age.as_secs().abs() < 300, "{age:?}");
            let lines = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
            assert_eq!(lines(&message.html), lines(&letter.html), "{name}");
            assert_eq!(lines(&message.text), lines(&letter.text), "{name}");
            // RFC 5322, 2.1.1: at most 998 characters a line; and all of it ASCII, for the oldest relay.
            assert!(
                received[0]
                    .raw
                    .split(|byte| *byte == b'\n')
                    .all(|line| line.len() < 1000)
            );
            assert!(received[0].raw.is_ascii());
        }
    }
}

/// RFC 8058: both fields, each on one line however long the link is, so that mail programs show a button of their own.
#[tokio::test]
async fn one_click_ends_letters_where_there_is_a_page() {
    let to = Mailbox::address("ok");
    let link = format!(
        "https://photos.example.com/unsubscribe?a={:032x}&t={}",
        7,
        "x".repeat(43)
    );
    let id = format!("{:032x}", rand::random::<u128>());
    let mail = Mail {
        id: id.clone(),
        to: to.clone(),
        job: job(),
        letter: letter("ready"),
        addressee: None,
        unsubscribe: Some(link.clone()),
    };
    let notice = Notice::Mail(mail);
    assert!(!format!("{notice:?}").contains("unsubscribe?a"));
    wire(&relay()).deliver(&notice).await.unwrap();
    let received = wait_for(1, Duration::from_secs(10), || Mailbox::received(&to)).await;
    let head = String::from_utf8_lossy(&received[0].raw);
    let head = head.split("\r\n\r\n").next().unwrap();
    assert!(
        head.contains(&format!("\r\nList-Unsubscribe: <{link}>\r\n")),
        "{head}"
    );
    assert!(
        head.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"),
        "{head}"
    );
    // What comes back is known by this.
    let notice = format!("\r\nX-Photo-Notice: {}/{id}\r\n", job());
    assert!(head.contains(&notice), "{head}");
}

#[tokio::test]
async fn domains_in_any_script_are_sent_in_ascii() {
    let options = WireOptions {
        mail: Some(MailOptions {
            smtp_url: SecretText(relay()),
            from: "Fotos <fotos@b\u{fc}cher.example>".to_owned(),
            reply_to: Some("studio@b\u{fc}cher.example".to_owned()),
            has_feedback: false,
        }),
        ..WireOptions::default()
    };
    let wire = Wire::new(&options, clock::system).unwrap();
    let to = Mailbox::address("ok").replace("example.com", "b\u{fc}cher.example");
    send(&wire, &to, &letter("alert")).await.unwrap();
    let sent = to.replace("b\u{fc}cher", "xn--bcher-kva");
    let received = wait_for(1, Duration::from_secs(10), || Mailbox::received(&sent)).await;
    let envelope = &received[0].envelope;
    assert_eq!(envelope["mail_from"], "fotos@xn--bcher-kva.example");
    assert_eq!(envelope["ehlo"], "xn--bcher-kva.example");
    let message = received[0].message();
    assert_eq!(
        (message.to, message.id.contains("xn--bcher-kva")),
        (vec![sent], true)
    );
    // What is in no script that a server takes is no address, here as in the manifest.
    let refused = send(&wire, "jos\u{e9}@example.com", &letter("alert"))
        .await
        .unwrap_err();
    assert!(
        !refused.may_pass && !refused.why.contains("jos"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_told_without_addresses_and_passwords() {
    let starttls = service("TEST_SMTP_STARTTLS");
    let wrong = starttls.replacen("mailer:", "mailer:not-", 1);
    let password = starttls
        .split(':')
        .nth(2)
        .unwrap()
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    let mut told = Vec::new();
    for (url, behaviour) in [
        (starttls.as_str(), "rejected"),
        (&starttls, "later"),
        (&wrong, "ok"),
        ("smtp://127.0.0.1:1", "ok"),
        (
            &starttls
                .replace("smtp://", "smtps://")
                .replace("?tls=required", ""),
            "ok",
        ),
    ] {
        let to = Mailbox::address(behaviour);
        let failure = send(&wire(url), &to, &letter("ready")).await.unwrap_err();
        assert!(
            !failure.why.contains(&to) && !failure.why.contains(&password),
            "{failure}"
        );
        told.push(format!(
            "{behaviour}: may pass: {}: {failure}",
            failure.may_pass
        ));
        assert!(Mailbox::received(&to).is_empty());
    }
    insta::assert_snapshot!(told.join("\n"));

    let (wire, to) = (wire(&starttls), Mailbox::address("later"));
    assert!(send(&wire, &to, &letter("ready")).await.is_err());
    assert!(send(&wire, &to, &letter("ready")).await.is_err());
    send(&wire, &to, &letter("ready")).await.unwrap();
}

#[tokio::test]
async fn webhooks_are_signed_and_receivers_may_be_as_they_like() {
    let wire = wire(&relay());
    let mut told = Vec::new();
    for behaviour in ["ok", "big", "fail", "gone", "redirect", "slow"] {
        let path = Mailbox::path(behaviour);
        let call = Notice::Call(Call {
            id: format!("msg_{:032x}", rand::random::<u128>()),
            url: format!("{}{path}", service("TEST_WEBHOOK")),
            body: json!({"type": "job.completed", "data": {"name": "Zoë \u{1f4f7}"}}).to_string(),
        });
        let outcome = wire.deliver(&call).await;
        let received = wait_for(1, Duration::from_secs(10), || Mailbox::webhooks(&path)).await;
        assert_eq!(received.len(), 1, "{behaviour}");
        assert_eq!(
            received[0]["verified"], true,
            "{behaviour}: {}",
            received[0]["error"]
        );
        assert_eq!(received[0]["headers"]["content-type"], "application/json");
        told.push(match outcome {
            Ok(()) => format!("{behaviour}: told"),
            Err(failure) => format!("{behaviour}: may pass: {}: {failure}", failure.may_pass),
        });
        let followed = path.replacen("/redirect/", "/ok/", 1);
        assert!(behaviour != "redirect" || Mailbox::webhooks(&followed).is_empty());
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn webhooks_stay_on_the_public_internet() {
    let options = WireOptions {
        webhook_secret: Some(SecretText(service("TEST_WEBHOOK_SECRET"))),
        ..WireOptions::default()
    };
    let wire = Wire::new(&options, clock::system).unwrap();
    let path = Mailbox::path("ok");
    let port = service("TEST_WEBHOOK");
    let port = port.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"] {
        let call = Notice::Call(Call {
            id: "msg_1".to_owned(),
            url: format!("https://{host}:{port}{path}"),
            body: "{}".to_owned(),
        });
        let failure = wire.deliver(&call).await.unwrap_err();
        let expected = "its address is not on the public internet";
        assert_eq!(
            (failure.may_pass, failure.why.as_str()),
            (false, expected),
            "{host}"
        );
    }
    assert!(Mailbox::webhooks(&path).is_empty());
    let unset = Wire::new(&WireOptions::default(), clock::system).unwrap();
    let failure = send(&unset, "a@example.com", &letter("ready"))
        .await
        .unwrap_err();
    assert!(failure.why.contains("`SMTP_URL`"), "{failure}");
}
