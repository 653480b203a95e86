//! Cancel requests: the client's key is ours, the server's stays here.

use ahash::AHashMap;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::SocketAddr;

/// A process id and its secret.
type Key = (u32, u32);

/// The keys of all live connections.
#[derive(Debug, Default)]
pub struct Cancels {
    live: Mutex<AHashMap<Key, (SocketAddr, u32, u32)>>,
}

impl Cancels {
    /// A key for a client whose session is this one upstream.
    pub fn add(&self, address: SocketAddr, pid: u32, key: u32) -> Option<(u32, u32)> {
        let (mut id, mut secret) = ([0; 4], [0; 4]);
        SystemRandom::new().fill(&mut id).ok()?;
        SystemRandom::new().fill(&mut secret).ok()?;
        // A process id, as clients read it, has no sign.
        let own = (u32::from_be_bytes(id) & 0x7fff_ffff, u32::from_be_bytes(secret));
        self.live.lock().insert(own, (address, pid, key));
        Some(own)
    }

    /// The connection has ended.
    pub fn remove(&self, own: (u32, u32)) {
        self.live.lock().remove(&own);
    }

    /// Which session upstream a client's key stands for.
    pub fn find(&self, own: (u32, u32)) -> Option<(SocketAddr, u32, u32)> {
        self.live.lock().get(&own).copied()
    }
}

/// The packet that asks a server to cancel.
pub fn request(pid: u32, key: u32) -> [u8; 16] {
    let mut packet = [0; 16];
    for (slot, part) in packet.chunks_exact_mut(4).zip([16, 80_877_102, pid, key]) {
        slot.copy_from_slice(&part.to_be_bytes());
    }
    packet
}
