package repo
import ("testing";"time";"os";"path/filepath";"runtime")
func TestZZ(t *testing.T){
 dir:=os.Getenv("ZZ"); if dir=="" {t.Skip()}
 r:=open(t,dir); c:=head(t,r)
 for range 2 {
 out:=filepath.Join(t.TempDir(),"o")
 s:=time.Now(); if err:=r.Export(t.Context(),c.ID,out);err!=nil{t.Fatal(err)}
 var m runtime.MemStats; runtime.ReadMemStats(&m)
 t.Log(time.Since(s), m.Sys>>20,"MiB sys"); 
 }
}
