from tests.support import *
import time
def test_smoke(aws):
    t=time.time()
    w = World(aws)
    j = w.job(); print("create", time.time()-t)
    t=time.time()
    w.live(5)
    print(time.time()-t, w.statuses(j), w.state(j), w.slot_entries(j), w.clock.now())
    print(w.runs(j)[0])
