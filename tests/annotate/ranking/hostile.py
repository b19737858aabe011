"""What a response may contain to attack its reader: what runs sets `window.harmed`, opens a dialog or asks a server."""

PAYLOADS = [
    "<script>window.harmed = 1</script>",
    '<img src=x onerror="window.harmed = 2">',
    "[go on](/annotate/history/) [or](//evil.invalid/x) [or](?action=skip) "
    "![x](https://tracker.invalid/pixel.png) ![y](javascript:window.harmed=3)",
    "[click me](javascript:window.harmed=4) [me](JaVaScRiPt&colon;window.harmed=4) <javascript:window.harmed=4>",
    "[data](data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGFybWVkPTU8L3NjcmlwdD4=) [vb](vbscript:x)",
    '<svg onload="window.harmed = 6"><script>window.harmed = 6</script></svg>',
    '<iframe srcdoc="<script>parent.harmed = 7</script>"></iframe><object data="javascript:window.harmed=7"></object>',
    '<div style="position:fixed;inset:0;background:url(//tracker.invalid)" onmouseover="window.harmed=8">x</div>',
    '</div></article></form><form action="https://evil.invalid"><input name="rank"><button>Submit</button></form>',
    '[x](https://ok.invalid "onmouseover=window.harmed=10 \\" onfocus=window.harmed=10 autofocus x=\\"")',
    '```html"><script>window.harmed = 11</script>\n</code></pre><script>window.harmed = 11</script>\n```',
    "\\(<script>window.harmed = 12</script>\\) $$<img src=x onerror=window.harmed=12>$$",
    '<math><mtext></form><form><mglyph><style></math><img src onerror="window.harmed = 13">',
    '<a id="desk"></a><base href="//evil.invalid/"><meta http-equiv="refresh" content="0;url=//evil.invalid">',
    "{{ item.judgement }} {% csrf_token %} ${window.harmed=15} `${window.harmed=15}`",
    "&lt;script&gt;window.harmed=16&lt;/script&gt; <scr<script>ipt>window.harmed=16</scr</script>ipt> \u202e",
]
