import pytest
def test_shots(stage, visiting):
    import pathlib
    out = pathlib.Path("/tmp/shots"); out.mkdir(exist_ok=True)
    kid, secret = stage.key("Nightly export", tags=["nightly"])
    for n in range(30):
        stage.use(secret)
    stage.use("sk_live_nonsense")
    v = visiting(viewport={"width": 1280, "height": 900})
    page = v.sign_in(stage.token())
    for name, path in {"overview": "/overview", "upstreams": "/upstreams", "limits": "/limits", "alerts": "/alerts", "audit": "/audit", "explain": f"/explain?url=/api/v1/jobs/42&key_id={kid}&client_address=203.0.113.7", "hygiene": "/hygiene", "key": f"/keys/{kid}", "keys": "/keys"}.items():
        v.open(path); v.settle(); page.wait_for_timeout(700)
        page.screenshot(path=str(out / f"{name}.png"), full_page=True)
    print(v.errors, v.hosts)
