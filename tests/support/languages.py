"""Sentences of several languages, with the older encodings that they are found in."""

SENTENCES = {
    "English": (
        "“The rain had stopped,” she said, “before the train came in.” Nobody on the platform "
        "said a word — it’s the café’s time… and nobody’s naïve mother looked up from it.\n"
    ),
    "French": (
        "L’été dernier, à la fin d’août, nous étions près de la forêt où ma grand-mère avait "
        "élevé ses chèvres. « Où êtes-vous ? » demanda-t-il, très étonné. Ça, c’était à nous.\n"
    ),
    "German": (
        "Über den Wäldern lag ein grauer Nebel, und die müden Männer saßen schweigend vor ihren "
        "Hütten. „Hört ihr die Glocken?“, fragte der jüngste. Niemand wußte eine Antwort.\n"
    ),
    "Spanish": (
        "El niño corrió hacia la montaña. ¿Dónde está mi corazón? —preguntó la señora con "
        "emoción—. ¡Qué día tan extraño! Mañana vendrá el otoño y también la lluvia.\n"
    ),
    "Polish": (
        "Późną jesienią wróciliśmy do domu, gdzie czekała na nas stara ciotka. „Czy pamiętasz "
        "jeszcze tę łąkę nad rzeką?” – zapytała, uśmiechając się do mnie żałośnie.\n"
    ),
    "Czech": (
        "Příliš žluťoučký kůň úpěl ďábelské ódy. Když přišel večer, všichni seděli u ohně a "
        "poslouchali starého muže, který vyprávěl o svém životě v horách.\n"
    ),
    "Russian": (
        "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива "
        "по-своему. Всё смешалось в доме. Жена узнала, что муж был в связи с гувернанткой.\n"
    ),
    "Greek": (
        "Η βροχή είχε σταματήσει πριν έρθει το τρένο. Κανείς δεν είπε λέξη, και κανείς δεν "
        "σήκωσε τα μάτια του όταν άνοιξαν οι πόρτες.\n"
    ),
    "Turkish": (
        "Yağmur, tren gelmeden önce durmuştu. Kimse bir şey söylemedi; çünkü herkes yorgundu ve "
        "düşünüyordu. Işıklar söndüğünde şehir sessizdi.\n"
    ),
    "Hebrew": "הגשם פסק לפני שהרכבת הגיעה. איש לא אמר מילה, ואיש לא הרים את עיניו.\n",
    "Arabic": "توقف المطر قبل أن يصل القطار. لم يقل أحد كلمة، ولم يرفع أحد عينيه.\n",
    "Thai": "ฝนหยุดตกก่อนรถไฟมาถึง ไม่มีใครพูดอะไรสักคำ และไม่มีใครเงยหน้าขึ้นเมื่อประตูเปิด\n",
    "Japanese": "雨は列車が来る前に止んでいた。誰も顔を上げなかった。名前はまだ無い。\n",
    "Simplified": "雨在火车到来之前就停了。站台上没有人说一句话，门打开的时候也没有人抬起头来。\n",
    "Traditional": "雨在火車到來之前就停了。站台上沒有人說一句話，門打開的時候也沒有人抬起頭來。\n",
    "Korean": "비는 기차가 오기 전에 그쳤다. 승강장에서는 아무도 말을 하지 않았다.\n",
}
"""A sentence or two of each language."""
LEGACY = {
    "cp1252": ["English", "French", "German", "Spanish"],
    "latin-1": ["German", "Spanish"],
    "cp850": ["Spanish"],
    "mac-roman": ["English", "French"],
    "cp1250": ["Polish", "Czech"],
    "iso8859-2": ["Czech"],
    "cp1251": ["Russian"],
    "koi8-r": ["Russian"],
    "cp866": ["Russian"],
    "iso8859-5": ["Russian"],
    "cp1253": ["Greek"],
    "cp1254": ["Turkish"],
    "cp1255": ["Hebrew"],
    "cp1256": ["Arabic"],
    "cp874": ["Thai"],
    "shift_jis": ["Japanese"],
    "euc_jp": ["Japanese"],
    "gb18030": ["Simplified", "Traditional"],
    "gb2312": ["Simplified"],
    "big5": ["Traditional"],
    "euc_kr": ["Korean"],
}
"""Encodings, with the languages that each can write."""
CASES = [(encoding, language) for encoding, names in LEGACY.items() for language in names]


def text_in(encoding: str, language: str, times: int = 10) -> str:
    """Return a text of the language, without characters that the encoding lacks."""
    return (SENTENCES[language] * times).encode(encoding, "ignore").decode(encoding)
