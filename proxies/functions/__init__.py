"""The proxies that come with the package; `proxies.catalogue` holds their records."""
