//! The scenarios that come with the program.

/// Name and text of each.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("hello", include_str!("../../scenarios/hello.toml")),
    (
        "spotify-2010",
        include_str!("../../scenarios/spotify-2010.toml"),
    ),
    (
        "today-desktop",
        include_str!("../../scenarios/today-desktop.toml"),
    ),
    (
        "origin-lost",
        include_str!("../../scenarios/origin-lost.toml"),
    ),
    (
        "tracker-restart",
        include_str!("../../scenarios/tracker-restart.toml"),
    ),
    (
        "cgnat-world",
        include_str!("../../scenarios/cgnat-world.toml"),
    ),
    (
        "rare-catalog",
        include_str!("../../scenarios/rare-catalog.toml"),
    ),
    (
        "cold-start",
        include_str!("../../scenarios/cold-start.toml"),
    ),
    (
        "today-mobile-heavy",
        include_str!("../../scenarios/today-mobile-heavy.toml"),
    ),
    (
        "flash-release",
        include_str!("../../scenarios/flash-release.toml"),
    ),
    ("polluters", include_str!("../../scenarios/polluters.toml")),
    (
        "freeriders",
        include_str!("../../scenarios/freeriders.toml"),
    ),
    ("eclipse", include_str!("../../scenarios/eclipse.toml")),
    ("scale-day", include_str!("../../scenarios/scale-day.toml")),
    (
        "scale-hour",
        include_str!("../../scenarios/scale-hour.toml"),
    ),
    ("churn", include_str!("../../scenarios/churn.toml")),
];

/// The built-in scenario of this name.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static (&'static str, &'static str)> {
    BUILT_IN.iter().find(|(known, _)| *known == name)
}
