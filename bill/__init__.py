"""The software bill of materials: everything that goes into a wheel of Tollhouse, in CycloneDX (PCI DSS 6.3.2)."""
