"""Who the simulator lets in: made-up names and secrets, the same in every test and in the demo."""

from dataclasses import dataclass

PARTNER_CODE = "LLODT"
XCOVER_API_KEY = "sim_xcover_key"
XCOVER_API_SECRET = "sim_xcover_secret"
XCLAIM_API_KEY = "sim_xclaim_key"
XCLAIM_PASSWORD = "sim_xclaim_password"
XCLAIM_TOKEN = "sim_xclaim_static_token"
REFUND_SECRET = "whsec_c2ltX3JlZnVuZF9zZWNyZXRfb2ZfdGhpcnR5X3R3b19i"
CLAIM_TYPE_ID = "5b0b3b5e-6f0f-4c57-9d0c-3e2d4a9f7c11"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    partner_code: str = PARTNER_CODE
    xcover_api_key: str = XCOVER_API_KEY
    xcover_api_secret: str = XCOVER_API_SECRET
    xclaim_api_key: str = XCLAIM_API_KEY
    xclaim_password: str = XCLAIM_PASSWORD
    xclaim_token: str = XCLAIM_TOKEN
    refund_secret: str = REFUND_SECRET  # the partner's, who is called for refunds
