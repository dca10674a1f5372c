//! Which network addresses an engine never connects to, whoever asks for it.
//!
//! In: an address. Out: why it is refused, or nothing. Never here: asking a name service; whoever
//! connects does that, and connects to exactly the addresses that were checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is never connected to; `None` when it may be.
pub fn forbidden(address: IpAddr, allow_loopback: bool) -> Option<&'static str> {
    match unwrapped(address) {
        IpAddr::V4(v4) => forbidden_v4(v4, allow_loopback),
        IpAddr::V6(v6) => forbidden_v6(v6, allow_loopback),
    }
}

fn forbidden_v4(v4: Ipv4Addr, allow_loopback: bool) -> Option<&'static str> {
    // Metadata services that do not live on a link-local address.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    if v4.is_loopback() {
        (!allow_loopback).then_some("it is a loopback address")
    } else if v4.is_link_local() {
        Some("it is a link-local address")
    } else if METADATA.contains(&v4) {
        Some("it is the address of a metadata service")
    } else if v4.octets()[0] == 0 {
        Some("it is the unspecified address")
    } else if v4.is_multicast() || v4.is_broadcast() {
        Some("it is a multicast address")
    } else {
        None
    }
}

fn forbidden_v6(v6: Ipv6Addr, allow_loopback: bool) -> Option<&'static str> {
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if v6.is_loopback() {
        (!allow_loopback).then_some("it is a loopback address")
    } else if v6.is_unspecified() {
        Some("it is the unspecified address")
    } else if v6.segments()[0] & 0xffc0 == 0xfe80 {
        Some("it is a link-local address")
    } else if METADATA.contains(&v6) {
        Some("it is the address of a metadata service")
    } else if v6.is_multicast() {
        Some("it is a multicast address")
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address stands for, however it is wrapped.
pub fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // ::ffff:a.b.c.d (mapped), and 64:ff9b::a.b.c.d (NAT64).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // ::a.b.c.d (compatible); ::1 and :: are their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        // 2002:aabb:ccdd:: (6to4).
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let never = "169.254.169.254 169.254.0.1 0.0.0.0 0.1.2.3 224.0.0.1 255.255.255.255 \
            100.100.100.200 168.63.129.16 192.0.0.192 fe80::1 febf::1 fd00:ec2::254 fd20:ce::254 \
            :: ff02::1 ::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::169.254.169.254 \
            2002:a9fe:a9fe::1";
        for text in never.split_whitespace() {
            assert!(forbidden(text.parse().unwrap(), true).is_some(), "{text}");
        }
        let loopback = "127.0.0.1 127.8.8.8 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1";
        for text in loopback.split_whitespace() {
            assert!(forbidden(text.parse().unwrap(), false).is_some(), "{text}");
            assert!(forbidden(text.parse().unwrap(), true).is_none(), "{text}");
        }
        let fine = "10.0.0.1 192.168.1.1 172.16.0.1 140.82.121.3 2606:50c0:8000::153 fd12::1";
        for text in fine.split_whitespace() {
            assert!(forbidden(text.parse().unwrap(), false).is_none(), "{text}");
        }
    }
}
