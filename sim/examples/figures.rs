use std::sync::Arc;
use antiphon_sim::{run::*, scenario::*};
fn main() {
    let mut a = std::env::args().skip(1);
    let name = a.next().unwrap();
    let mut s = Scenario::read(built_in(&name).unwrap().1).unwrap();
    if let Some(v) = a.next() { s.variant = v; }
    if let Some(u) = a.next() { s.population.users = u.parse().unwrap(); }
    if let Some(u) = a.next() { s.duration.0 = u.parse().unwrap(); }
    let plan = Plan::new(Arc::new(s), Some(1));
    let t = std::time::Instant::now();
    let r = run(&plan, &|_| {}).unwrap();
    let dt = t.elapsed().as_secs_f64();
    for (k, v) in &r[0].figures { println!("{k:28} {v:.5}"); }
    let t = &r[0].tally;
    println!("events {} in {dt:.2} s = {:.0}/s; messages {} requests {} opened {} lookups {} announced {} dials {} sessions {} hedges {} cancels {} alloc {:?}", r[0].events, r[0].events as f64/dt, t.messages, t.requests, t.opened, t.lookups, t.announced, t.dials, t.sessions, t.hedges, t.cancels, t.allocation);
    println!("sent {} arrived p {} o {} twice {} control {} tracker {}", t.sent, t.arrived_peers, t.arrived_origin, t.arrived_twice, t.control, t.tracker_bytes);
    println!("{}", std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmHWM")).collect::<String>());
    println!("online {:?}", t.series.last());
}
