"""Signatures and the text forms of keys (wire-api 3 and 11): RSA over raw bodies, Ed25519 over webhooks.

`sign` and `verify` take bytes as they are on the wire. Nothing here keeps a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

KEY_BITS_MIN, KEY_BITS_MAX = 2048, 8192
EXPONENT_MIN = 65537
SIGNATURE_TEXT_MAX = 1400
KEY_TEXT_MAX = 64 * 1024
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64

# The factors of the specification's test key, whose private half everybody can compute.
_PUBLISHED_FACTORS = (2**2203 - 1, 2**521 - 1)
_PADDING, _HASH = padding.PKCS1v15(), hashes.SHA256()


def parse_public_key(text: str) -> RSAPublicKey:
    """A project's key from PEM (SPKI or PKCS#1) or an X.509 certificate.

    Raises ValueError with one sentence that says what is wrong with it.
    """
    if "PRIVATE KEY" in text:
        raise ValueError("the file holds a private key: keep it to yourself and give its public half")
    if len(text) > KEY_TEXT_MAX:
        raise ValueError(f"the file is longer than {KEY_TEXT_MAX} characters: one RSA public key as PEM is expected")
    try:
        data = text.encode("ascii")
        is_certificate = "BEGIN CERTIFICATE" in text
        key = x509.load_pem_x509_certificate(data).public_key() if is_certificate else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("the file is no RSA public key as PEM and no X.509 certificate") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the key is not RSA: signatures are RSA with SHA-256")
    numbers = key.public_numbers()
    if not KEY_BITS_MIN <= key.key_size <= KEY_BITS_MAX:
        raise ValueError(f"the key has {key.key_size} bits: {KEY_BITS_MIN} to {KEY_BITS_MAX} are expected")
    if numbers.e < EXPONENT_MIN:
        raise ValueError(f"the key's public exponent is {numbers.e}: at least {EXPONENT_MIN} is expected")
    if any(numbers.n % factor == 0 for factor in _PUBLISHED_FACTORS):
        raise ValueError("the key is the published test key, whose private half everybody knows: make one of your own")
    return key


def public_key_pem(key: RSAPublicKey) -> str:
    """The key as PEM (SPKI), however it was given."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key_id(key: RSAPublicKey) -> str:
    """The first half of the SHA-256 fingerprint of the key, in hex: its name towards people."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:32]


def verify(key: RSAPublicKey, body: bytes, header: str) -> bool:
    """Whether the header's value is this key's signature of exactly these bytes.

    White space in the value is ignored; URL-safe Base64, hex and anything longer than 1400 characters never fit.
    """
    if len(header) > SIGNATURE_TEXT_MAX:
        return False
    try:
        signature = base64.b64decode("".join(header.split()).encode("ascii"), validate=True)
        key.verify(signature, body, _PADDING, _HASH)
    except (binascii.Error, UnicodeEncodeError, InvalidSignature):
        return False
    return True


def sign_rsa(key: RSAPrivateKey, body: bytes) -> str:
    """The value of `X-PARTNER-SIGN`: RSASSA-PKCS1-v1_5 with SHA-256, standard Base64 on one line."""
    return base64.b64encode(key.sign(body, _PADDING, _HASH)).decode()


def ed25519_signature(key: Ed25519PrivateKey, content: bytes) -> str:
    """`v1a,…`: Ed25519 over the signed content of Standard Webhooks."""
    return "v1a," + base64.b64encode(key.sign(content)).decode()


def webhook_public_key(key: Ed25519PublicKey) -> str:
    """`whpk_…`: the key that receivers check `v1a` signatures with."""
    return "whpk_" + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def webhook_secret(secret: bytes) -> str:
    """`whsec_…`: the secret of `v1` signatures."""
    assert SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX
    return "whsec_" + base64.b64encode(secret).decode()


def parse_webhook_secret(text: str) -> bytes:
    """The bytes of a `whsec_…`. Raises ValueError with one sentence that never holds the secret."""
    expected = f"whsec_ and the Base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes expected"
    prefix, encoded = text[:6], text[6:]
    try:
        secret = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(expected) from None
    if prefix != "whsec_" or not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise ValueError(expected)
    return secret
