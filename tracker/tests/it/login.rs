//! Who gets in, and what the others learn from being refused.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::identity::DevicePublic;
use antiphon_protocol::tracker::{AccessToken, Password, TrackerReply, TrackerRequest};
use antiphon_tracker::{AccountError, Admin};
use anyhow::Result;

use crate::world::{PASSWORD, World, connect, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_name_get_the_same_reply() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    client.register("Ada", PASSWORD).await?;
    let wrong = client
        .ask(&client.login_request("Ada", "wrong horse"))
        .await?;
    let unknown = client.ask(&client.login_request("Eve", PASSWORD)).await?;
    let impossible = client.ask(&client.login_request("\n", PASSWORD)).await?;
    let short = client.ask(&client.login_request("Ada", "x")).await?;
    assert!(matches!(
        wrong,
        TrackerReply::Refused {
            code: ErrorCode::LOGIN,
            ..
        }
    ));
    assert_eq!(wrong, unknown);
    assert_eq!(wrong, impossible);
    assert_eq!(wrong, short);
    client.login("aDA", PASSWORD).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_outside_the_rules_make_no_account() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    for (name, password) in [
        ("", PASSWORD),
        (" space", PASSWORD),
        ("new\nline", PASSWORD),
        (&"x".repeat(65), PASSWORD),
        ("short", "1234567"),
    ] {
        let request = client.register_request(name, password);
        assert_eq!(
            client.refusal(&request).await?,
            ErrorCode::INVALID,
            "{name:?}"
        );
    }
    client.register("Ada", PASSWORD).await?;
    let again = client.register_request("ADA", "another one");
    assert_eq!(client.refusal(&again).await?, ErrorCode::NAME_TAKEN);
    let no_keys = TrackerRequest::Login {
        name: "Ada".into(),
        password: Password(PASSWORD.into()),
        device: DevicePublic {
            signing: [0; 32],
            sealing: [0; 32],
        },
    };
    assert_eq!(client.refusal(&no_keys).await?, ErrorCode::INVALID);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_closed_unless_the_operator_opens_it() -> Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config.open_registration = false;
    let tracker = antiphon_tracker::Tracker::start(config).await?;
    let client = connect(&tracker).await?;
    let request = client.register_request("Ada", PASSWORD);
    assert_eq!(client.refusal(&request).await?, ErrorCode::FORBIDDEN);

    let admin = Admin::open(&world.data()).await?;
    admin.add_account("Ada", &Password(PASSWORD.into())).await?;
    client.login("Ada", PASSWORD).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_lists_disables_and_enables_accounts() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let admin = Admin::open(&world.data()).await?;
    let password = Password(PASSWORD.into());
    let ada = admin.add_account("Ada", &password).await?;
    let bob = admin.add_account("Bob", &password).await?;
    let taken = admin.add_account("ada", &password).await;
    assert!(matches!(taken, Err(AccountError::NameTaken)));
    let listed = admin.list_accounts(None, 10).await?;
    let listed: Vec<_> = listed.iter().map(|a| (a.id, a.name.as_str())).collect();
    assert_eq!(listed, [(ada, "Ada"), (bob, "Bob")]);
    assert_eq!(admin.list_accounts(Some(ada), 10).await?.len(), 1);

    let client = connect(&tracker).await?;
    let token = client.login("Ada", PASSWORD).await?;
    admin.disable_account("ADA").await?;
    assert!(admin.list_accounts(None, 1).await?[0].disabled.is_some());
    let login = client.login_request("Ada", PASSWORD);
    assert_eq!(client.refusal(&login).await?, ErrorCode::LOGIN);
    let attach = client.attach_request(&token);
    assert_eq!(client.refusal(&attach).await?, ErrorCode::UNAUTHENTICATED);
    admin.enable_account("Ada").await?;
    client.login("Ada", PASSWORD).await?;
    let nobody = admin.disable_account("Eve").await;
    assert!(matches!(nobody, Err(AccountError::Unknown)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_worth_nothing_on_another_device_or_connection() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let owner = connect(&tracker).await?;
    let token = owner.register("Ada", PASSWORD).await?;
    let thief = connect(&tracker).await?;
    let with_own_proof = thief.attach_request(&token);
    assert_eq!(
        thief.refusal(&with_own_proof).await?,
        ErrorCode::UNAUTHENTICATED
    );
    // The owner's proof, overheard, is of the owner's connection.
    let with_stolen_proof = owner.attach_request(&token);
    assert_eq!(
        thief.refusal(&with_stolen_proof).await?,
        ErrorCode::UNAUTHENTICATED
    );
    let forged = owner.attach_request(&AccessToken([7; 32]));
    assert_eq!(owner.refusal(&forged).await?, ErrorCode::UNAUTHENTICATED);
    owner.attach(&token).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_no_longer_attaches() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    let token = client.register("Ada", PASSWORD).await?;
    client.attach(&token).await?;
    let database = format!("sqlite://{}", world.data().join("tracker.db").display());
    let pool = sqlx::SqlitePool::connect(&database).await?;
    sqlx::query("UPDATE tokens SET expires = 1")
        .execute(&pool)
        .await?;
    let client = connect(&tracker).await?;
    let attach = client.attach_request(&token);
    assert_eq!(client.refusal(&attach).await?, ErrorCode::UNAUTHENTICATED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_from_one_address_are_limited() -> Result<()> {
    let mut world = World::new()?;
    world.limits.address_logins_per_minute = 3;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    for _ in 0..3 {
        let login = client.login_request("Eve", PASSWORD);
        assert_eq!(client.refusal(&login).await?, ErrorCode::LOGIN);
    }
    let other = connect(&tracker).await?;
    let login = other.login_request("Ada", PASSWORD);
    assert_eq!(other.refusal(&login).await?, ErrorCode::RATE_LIMITED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_attaches_before_there_is_a_catalog_key() -> Result<()> {
    let world = World::new()?;
    let path = world.releases().join("catalog.pub");
    let key = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    let token = client.register("Ada", PASSWORD).await?;
    let attach = client.attach_request(&token);
    assert_eq!(client.refusal(&attach).await?, ErrorCode::BUSY);
    std::fs::write(&path, blake3::Hash::from_slice(&key)?.to_hex().as_str())?;
    eventually(async || {
        let reply = client.ask(&attach).await?;
        Ok(matches!(reply, TrackerReply::Attached(_)))
    })
    .await
}
