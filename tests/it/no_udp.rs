//! A node in a network that lets no UDP through, as those of hotels and offices.

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;
use antiphon_tests::place::Place;
use antiphon_tests::wav_file::Wav;
use anyhow::Result;

/// Where tracker and origin are.
const OPEN: &str = "10.99.0.1";

/// A place with a cable to `internet` that carries everything but UDP; what is sent is lost there.
fn hotel(internet: &Place) -> Result<Option<Place>> {
    let Some(hotel) = Place::make()? else {
        return Ok(None);
    };
    internet.connect(("hotel", "10.99.1.1/24"), &hotel, ("out", "10.99.1.2/24"))?;
    hotel.ip("route add default via 10.99.1.1")?;
    // Looked at before the question whether a packet has arrived.
    internet.ip("rule add pref 5 iif hotel ipproto udp blackhole")?;
    internet.ip("rule add pref 6 lookup local")?;
    internet.ip("rule delete pref 0")?;
    Ok(Some(hotel))
}

#[test]
fn without_udp_somebody_new_logs_in_and_hears_a_track_to_its_end() -> Result<()> {
    let Some(internet) = Place::make()? else {
        return Ok(());
    };
    internet.ip(&format!("address add {OPEN}/32 dev lo"))?;
    let Some(hotel) = hotel(&internet)? else {
        return Ok(());
    };
    let network = internet.wait_for(async || Network::start_at("no-udp", OPEN).await)?;
    let piece = network.library().piece("aurora")?;
    let sink = network.folder().join("guest.wav");
    let options = ListenerOptions::fast(&sink).anywhere();
    let play = hotel.wait_for(async || {
        let mut guest = network.listener_with("guest", options).await?;
        guest.play(&piece).await?;
        let play = guest.has_played().await?;
        guest.end().await?;
        Ok(play)
    })?;
    assert_eq!(play.failure, "");
    let bytes = (play.bytes.origin, play.bytes.peers);
    assert_eq!(bytes, (piece.rendition.size.0, 0));
    assert_eq!(Wav::read(&sink)?.frames(), piece.rendition.frames);
    let metrics = internet.wait_for(async || network.tracker_metrics().await)?;
    let over_quic = "antiphon_tracker_connections_total{transport=\"quic\"} 0\n";
    assert!(metrics.contains(over_quic), "{metrics}");
    Ok(())
}
