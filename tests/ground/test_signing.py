"""Signatures and text forms of keys, by the vectors of wire-api 3.1 and 11."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from tollhouse import signing
from tollhouse.webhook import hmac_signature, signed_content

# RSA of the specification: built from two Mersenne primes, so nothing of it is secret.
P, Q, E = 2**2203 - 1, 2**521 - 1, 65537
D = pow(E, -1, (P - 1) * (Q - 1))
PUBLISHED = rsa.RSAPrivateNumbers(
    P, Q, D, D % (P - 1), D % (Q - 1), pow(Q, -1, P), rsa.RSAPublicNumbers(E, P * Q)
).private_key()

VECTORS = {
    b"{}": (
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "BslWb5LJcmG/alAk9Zc3j4RYZhcPcoiz+PtHJgShXxuV9b+XxgJCQ+mEJ/EOZUv/9T6pK8JSyE6/Sr4/LIxbibUTrggIVp1wmdrh"
        "vHbUWS9VLzrcl518dvnHxeTw2IJ7o/hKJZVbCeLkj18ke5Tf76nhbcB938X43YFJoGOOVpk/ZS6IYBSARcQdh7s3M+kuxE1oxLFX"
        "uRHzmsn+3dCMwfE/XNc1I2NrJk7eg3e4Cn/8jf/SL3wjPWQH0PQIYE7ROGKnHIFCqh3VV03qpuzk2Huw6O5bz/Gp4S1EIZ9mtXwf"
        "9QuwJSed8wBqMDsaRGmPGd/lsovilXxYUcVINHQlJoTVItXqn/TI0u/w286qLcb+WejfS3YwLId1HtjrzK72Zgzlry0tu3GFFf8i"
        "HPlKVzEt9jHFIPgb1xjDU+iaViWGHjvXrhi2NwFMAzZzbAnX2zsPPps=",
    ),
    b"[]": (
        "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
        "AvjMmy6HxVkUSUdgDWKje1wDXnZRqgeqX50d1b6eqzMJyMoFr6L+DrH0twUVGwMd1g18/E4oWVSu1a+Rnm8HSSGpMyWiKWEGsyB0"
        "/n2ZgaMN6j1CJ7c4B+AX51iUFQ4prj4ZaPz4r6TkS06JyNKr9RswVI3VH/FqXeqnBKU7OLGko4/jRczKEmLKpszCV9Tg2t3eaNWr"
        "pBNfIAK1Iu4ZLRpvlCwhQ1niFmcQ/63NydxOEvPkcYG1xf4TX0EkEY4K8QecOO8cd+6HnXtYqH6jZcRG8FyIFayYN9NSfQhLuMgq"
        "Bn1pxb98pMDmOwo41feQZG7SbcoJAPV/ptiQhiUQ0nqufdaA+HSme/QsHvUr0+C/NI/TfL/iVcW1KoJ/Ufa/4E9vtuIddFF7ZsG+"
        "3iKwdo7ywkS9CjLvKAp/KXTpZIDIrXrPM57yTg3+AZxoiEu93Cs9zFY=",
    ),
    b'{"session_id":"ps_410027"}': (
        "aa2f503241dc5ae417b562e510be3a6770496e1fcbebfb59f34f7e66c494dd90",
        "B7Y/bnZQSuDzEuempH5zL7GZicCvQOyXQYAE3RkI41AigHAXJ7xsm7NLyUMnyRIJrPew8GvdPmk+mGOqeFojHNxrpLWsDCS8ZhIT"
        "JHTIUfkbQebNW26LiQkyif5r9hmt8iyUDkkPmK0yanBze8SWX7F+dVQroX9pzf6ttGSDGalfvxdCaRDLzH99FFGps13GTuqQvxCZ"
        "ztBV2mj4wRfkKtb2K2VJkJIF/1yhrLUfcpVG0THR6MYEliKXj599KMSR/vmAKfrhExBA18Ct/DMbp1G3su6lgDvZRGIV9hqSui3R"
        "5i9c5yFAIBMLkmpeC/2a4CPyyQn3hgkuKwKTE3cdbo4QvXQA5TVGFPgZSLB5DVBUVB9ZpFY/J0Rj9LidMb3lXBZ1/e7jmixarY6G"
        "N+MxXQgfIgZatEpep0fQ2djh70PC/kdd1qqm7dVCM/svYP/qcpAIszI=",
    ),
}
WEBHOOK = b'{"type":"payment_finished","event_id":"evt_9001","sequence":2,"session":{"id":"ps_410027"}}'
SEED = bytes(range(32))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """A key of an ordinary merchant."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(public: object, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    """A public key as PEM."""
    return public.public_bytes(Encoding.PEM, form).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", VECTORS)
def test_rsa_signatures_equal_the_vectors(body: bytes) -> None:
    """PKCS #1 v1.5 is deterministic: every implementation makes these bytes."""
    digest, signature = VECTORS[body]
    assert hashlib.sha256(body).hexdigest() == digest
    assert len(signature) == 456
    assert signing.sign_rsa(PUBLISHED, body) == signature
    assert signing.verify(PUBLISHED.public_key(), body, signature)


def test_a_space_more_is_another_body() -> None:
    """A body that was serialised again does not verify against the first one's signature."""
    spaced = b'{"session_id": "ps_410027"}'
    assert hashlib.sha256(spaced).hexdigest() == "2ec570b66b03bad4e6f8a117fb8fb746ad7a53044210905cb598d51a179fcd2a"
    signature = VECTORS[b'{"session_id":"ps_410027"}'][1]
    assert signing.sign_rsa(PUBLISHED, spaced) != signature
    assert not signing.verify(PUBLISHED.public_key(), spaced, signature)


def test_webhook_signatures_equal_the_vectors() -> None:
    """Both schemes of Standard Webhooks and the RSA signature over the same body."""
    assert len(WEBHOOK) == 91
    content = signed_content("evt_9001", 1772442000, WEBHOOK)
    ed25519 = Ed25519PrivateKey.from_private_bytes(SEED)
    assert signing.webhook_secret(SEED) == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert signing.webhook_public_key(ed25519.public_key()) == "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    assert hmac_signature(signing.webhook_secret(SEED), content) == "v1,aikctdRfUAGpMJt1xlh2KwGniGank3DvsulaA+y5pqk="
    assert signing.ed25519_signature(ed25519, content) == (
        "v1a,UtmIW9+GTQdo9AU3tnk7p70F86X78v9PDRfQUBH/055wOWwMGf78BH+j+D72gbtpSoZgeh9U3HDZtD0m8MbUCQ=="
    )
    assert signing.sign_rsa(PUBLISHED, WEBHOOK).startswith("AYkSBaH9mmX3E5nKmJd8tOC3")


def test_white_space_in_the_header_is_ignored(key: rsa.RSAPrivateKey) -> None:
    """Some clients wrap Base64."""
    signature = signing.sign_rsa(key, b"{}")
    wrapped = f" {signature[:76]} \t{signature[76:]} "
    assert signing.verify(key.public_key(), b"{}", wrapped)


def test_what_is_no_signature_never_verifies(key: rsa.RSAPrivateKey) -> None:
    """Other bodies, other forms, other paddings and hashes, other keys."""
    public, body = key.public_key(), b'{"a":1}'
    signature = signing.sign_rsa(key, body)
    raw = base64.b64decode(signature)
    pss = key.sign(body, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    sha1 = key.sign(body, padding.PKCS1v15(), hashes.SHA1())
    wrong = [
        "",
        "é",
        raw.hex(),
        signature.rstrip("="),
        signature.replace("+", "-").replace("/", "_") if set("+/") & set(signature) else "_" + signature,
        signature + " " * 1400,
        base64.b64encode(raw[:-1]).decode(),
        base64.b64encode(pss).decode(),
        base64.b64encode(sha1).decode(),
        signing.sign_rsa(PUBLISHED, body),
    ]
    assert [header[:20] for header in wrong if signing.verify(public, body, header)] == []
    assert not signing.verify(public, body + b"\n", signature)
    assert not signing.verify(public, b'{"a":0}', signature)


def test_public_keys_are_read_in_every_form(key: rsa.RSAPrivateKey) -> None:
    """SPKI, PKCS #1 and a certificate hold the same key, which has one PEM and one id."""
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, public, 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    forms = [pem_of(public), pem_of(public, PublicFormat.PKCS1), certificate]
    read = [signing.parse_public_key(form) for form in forms]
    assert {signing.public_key_pem(one) for one in read} == {forms[0]}
    assert {len(signing.public_key_id(one)) for one in read} == {32}
    assert len({signing.public_key_id(one) for one in read}) == 1


def test_unfit_public_keys_are_refused_in_one_sentence(key: rsa.RSAPrivateKey) -> None:
    """Each with what is wrong with it."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    low = rsa.generate_private_key(public_exponent=3, key_size=2048).public_key()
    wrong = {
        private: "private key",
        pem_of(small): "1024 bits",
        pem_of(low): "exponent is 3",
        pem_of(ec.generate_private_key(ec.SECP256R1()).public_key()): "not RSA",
        pem_of(PUBLISHED.public_key()): "published test key",
        "": "no RSA public key",
        "ключ": "no RSA public key",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "no RSA public key",
        "x" * 100_000: "longer than",
    }
    for text, said in wrong.items():
        with pytest.raises(ValueError, match=said) as refused:
            signing.parse_public_key(text)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka", "whsec_é"])
def test_unfit_webhook_secrets_are_refused(text: str) -> None:
    """Too short, without the prefix, no Base64."""
    with pytest.raises(ValueError, match="whsec_"):
        signing.parse_webhook_secret(text)


def test_a_webhook_secret_is_read_back() -> None:
    """What was written can be read."""
    assert signing.parse_webhook_secret(signing.webhook_secret(SEED)) == SEED
