"""Sentences for practice speech, written for this project: every English phone and Mandarin syllable shape often."""

ENGLISH = """
The old boat drifted gently past the harbour while the children waved from the shore.
Did you remember to bring the yellow umbrella, or shall we both get soaked again?
My father measured each piece of wood twice, and then he cut it once.
We used to listen to music by the fire on cold December evenings.
Thank you for your kindness, your patience, and for every letter you sent.
She laughed, shook her head, and poured another cup of strong black tea.
The garden looked beautiful this morning, with roses, violets and a huge oak.
I hope that you will be happy, healthy and brave in the years to come.
Which of these photographs should we choose for the front of the album?
Nothing pleased him more than a quiet walk through the woods with the dog.
Please do not worry about me; I am proud of everything you have become.
Grandmother joined the village choir when she was only fifteen.
The train leaves at eight, so we ought to finish breakfast before seven.
Our neighbours shared their vegetables, their tools and all their troubles.
There is a small treasure hidden under the third step of the stairs.
A cheerful voice on the radio announced that the weather would change.
He could fix a clock, a chair or a broken toy with the same calm hands.
Would you like to visit the beach where we first learned how to swim?
The judge gave a usual answer, but the young lawyer enjoyed the challenge.
Every Sunday the whole family gathered around the kitchen table.
Look after each other, tell the truth, and keep the house full of noise.
His vision was poor, yet he noticed the pleasure on their faces at once.
We bought fresh bread, cheap cheese, ripe pears and a jar of thick honey.
Long ago, a wise teacher taught me how to think before I speak.
The choir sang a song of joy while snow was falling on the church roof.
You were such a good boy, always asking why the moon follows the car.
She keeps my watch, my glasses and five old coins in that wooden box.
It was a rather rough voyage, and nobody could eat the ship's food.
How much farther is it to the bridge beyond the northern valley?
I love you both very much, and I will always be near you.
The doctor shut the door, took off his gloves and began to whistle.
Both of those brothers breathe slowly and bathe in the river together.
Put the book on the shelf and pull the curtain, would you?
Azure pottery and beige rugs decorated the entrance of the garage.
Don't be sad for too long; go outside, plant a tree, and laugh again.
The azaleas are finally open, just as I thought they would be.
""".strip().splitlines()

MANDARIN = """
孩子们，你们好，我是爷爷，今天想和大家说几句心里话。
那年冬天特别冷，院子里的水缸都结了厚厚的冰。
奶奶做的红烧肉又香又软，邻居闻到了都要来尝一口。
你们要好好吃饭，按时睡觉，别总是熬夜工作。
我这一辈子最骄傲的事情，就是看着你们长大成人。
春天来了，河边的柳树绿了，燕子也从南方飞回来了。
他骑着一辆旧自行车，穿过桥洞，去火车站接姑姑。
不要难过，人总有离开的那一天，爱会一直陪着你们。
中秋节的晚上，全家坐在窗前，一边吃月饼，一边看月亮。
谁愿意跟我去山上采蘑菇，顺便看看日出？
老师说，读书要慢慢来，急不得，也偷不得懒。
谢谢你一直照顾我，这么多年，辛苦你了。
火炉旁边，猫咪蜷成一团，呼噜呼噜睡得正香。
工厂里的机器轰隆隆地响，他却能听出哪个零件松了。
请把窗户关上，外面风大，小心着凉。
我们曾经穷得只剩下半袋米，可是从来没有红过脸。
女儿出嫁那天，我躲在门后悄悄地擦眼泪。
这件蓝色的棉袄，是她用三个晚上缝出来的。
如果有一天你想我了，就去听听那首老歌吧。
雄鸡一叫天就亮，庄稼人扛着锄头下地去了。
兄弟之间要互相体谅，凡事让一步，海阔天空。
那群顽皮的孩子翻过围墙，去池塘边捉青蛙。
医生嘱咐他多喝水，少抽烟，每天散步半个钟头。
云南的雪山，草原的骏马，我都想带你们去看一看。
他写的毛笔字，横平竖直，像他做人一样端正。
远处传来悠扬的笛声，黄昏的村庄显得格外安静。
快把行李放下，先喝碗热汤，暖暖身子再聊。
这张照片是我二十岁时在广场上拍的，你看我多精神。
勤俭持家，诚实待人，这八个字你们要记住。
下雨的时候，屋顶滴滴答答，我就给他们讲故事。
从前有个渔翁，住在湖边，日子过得平平淡淡。
略微放点盐，再切些葱花，面条的味道就出来了。
决定去学开飞机的那一刻，他的眼睛闪闪发光。
我永远爱你们，愿你们平安，健康，快乐。
外婆总在黄昏时坐在院子里，给我们讲从前的故事。
弟弟把风筝放得很高，线都快要断了。
医生劝他少抽烟，多散步，他只是笑着摇头。
雨下了整整三天，田里的秧苗终于喝饱了水。
姐姐从北京寄来一个大包裹，里面全是棉衣和点心。
天亮之前，渔民们已经把船推到了海边。
他写的毛笔字端端正正，就像他这个人一样。
请你替我照看那盆兰花，每周浇一次水就够了。
新年的钟声敲响时，全村的鞭炮都噼里啪啦地响起来。
我年轻的时候当过兵，修过铁路，也教过书。
厨房里飘出葱油饼的香味，孩子们立刻围了过去。
那把旧胡琴是祖父留下的，声音仍然很动听。
她用针线补好了我的书包，还绣上一朵小红花。
火车穿过隧道以后，窗外忽然出现了一片湖。
与其天天发愁，不如出去走走，晒晒太阳。
邻居家的狗每天早上都准时送他去上班。
他们在桥头分手，谁也没有回头。
冬至那天，全家人围着炉子包饺子，说说笑笑。
你小时候最怕打雷，总要躲进我的被窝里。
老房子拆了，可是门前那棵槐树还在。
无论走到哪里，都别忘了给家里打个电话。
父亲沉默了很久，才慢慢地说出那句话。
云散开了，月光洒在安静的操场上。
这些照片我都按年份排好了，放在蓝色的盒子里。
妈妈说做人要诚实，做事要仔细，对人要宽厚。
他把最后一块糖给了妹妹，自己咽了咽口水。
鱼在水里游，鸟在天上飞，你们在我心里长大。
我们结婚那年，全部家当只有两床被子和一口锅。
秋风一吹，银杏叶落得满地金黄。
山路又陡又滑，他背着病人走了二十里。
别怪他，他嘴上严厉，心里比谁都软。
每逢下雪，我就想起那双湿透了的布鞋。
二叔会修收音机，村里人都管他叫能人。
她唱完最后一句，台下静得能听见呼吸。
要是有来生，我还愿意做你们的父亲。
粮票、布票、油票，那时候样样都得算着用。
爷爷下棋从不悔棋，输了也是乐呵呵的。
你们吵架的时候，想想我们是怎么过来的。
早春的清晨，露水打湿了他的裤脚。
我把钥匙放在窗台上的花盆下面了。
勇敢一点，摔倒了爬起来，没有什么可怕的。
远处传来卖豆腐的吆喝声，一声长，一声短。
他俩从小学就是同桌，六十年的朋友了。
恐怕我等不到你毕业，可是我会一直为你高兴。
军队路过村口，老乡们端出了热茶和鸡蛋。
谁家的灯还亮着？大概又是王老师在改作业。
女儿画了一匹绿色的马，说它会飞。
穷日子教会我们珍惜，好日子教会我们感恩。
""".strip().splitlines()
